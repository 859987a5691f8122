"""What a training keeps: the best weights, checkpoints to go on from, and a line for every validation."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor

from hybridseg.app.evaluation.handler import ScoreCases
from hybridseg.app.training.checkpoints import Checkpoints
from hybridseg.app.training.handlers import BestModel, TrainingProgress
from hybridseg.app.training.run_folder import latest_checkpoint
from hybridseg.app.training.schedule import warmup_cosine


@pytest.fixture
def validator() -> Engine:
    """An engine whose key metric a test sets."""
    engine: Any = Engine(lambda engine, batch: None)
    engine.state.key_metric_name = "dice"
    return engine


def validate(validator: Engine, epoch: int, dice: float) -> None:
    validator.state.epoch = epoch
    validator.state.metrics = {"dice": dice}
    validator.fire_event(Events.COMPLETED)


def test_the_best_weights_are_kept_not_the_last(validator, tmp_path):
    network = torch.nn.Linear(1, 1)
    best = BestModel(network, tmp_path / "model.pt")
    best.attach(validator)
    for epoch, dice in enumerate([0.5, 0.8, 0.7], start=1):
        torch.nn.init.constant_(network.weight, epoch)
        validate(validator, epoch, dice)
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].item() == 2
    assert (best.score, best.epoch) == (0.8, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_a_resumed_training_knows_the_best_score(validator, tmp_path):
    first = BestModel(torch.nn.Linear(1, 1), tmp_path / "model.pt")
    first.attach(validator)
    validate(validator, 7, 0.9)
    resumed = BestModel(torch.nn.Linear(1, 1), tmp_path / "model.pt")
    resumed.load_state_dict(first.state_dict())
    kept = (tmp_path / "model.pt").read_bytes()
    resumed.attach(validator)
    validate(validator, 8, 0.8)
    assert (tmp_path / "model.pt").read_bytes() == kept
    assert resumed.epoch == 7


def test_an_earlier_run_is_neither_overwritten_nor_missed(tmp_path):
    with pytest.raises(ValueError, match=r"run_dir: .*: has no checkpoint_epoch=N.pt: there is nothing to resume"):
        Checkpoints(tmp_path, {}, resume=True)
    (tmp_path / "checkpoint_epoch=1.pt").touch()
    with pytest.raises(
        ValueError, match=r"run_dir: .*: has a run already: resume it by --resume True, or name another"
    ):
        Checkpoints(tmp_path, {})


def test_a_training_goes_on_where_it_stopped(tmp_path):
    network = torch.nn.Linear(1, 1)
    seen = []
    for epochs, resume in ((2, False), (3, True)):
        trainer = Engine(lambda engine, batch: seen.append(engine.state.epoch))
        Checkpoints(tmp_path, {"network": network}, resume).attach(trainer)
        trainer.run([0], max_epochs=epochs)
    assert seen == [1, 2, 3]
    assert latest_checkpoint(tmp_path) == str(tmp_path / "checkpoint_epoch=3.pt")


def test_a_resumed_run_has_the_learning_rate_and_the_epochs_of_its_config(tmp_path):
    rates = []
    for rate, epochs, resume in ((1.0, 10, False), (0.5, 20, True)):
        optimizer = torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), lr=rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_cosine(epochs))

        def step(engine: Engine, batch: int, optimizer=optimizer) -> None:
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()

        trainer = Engine(step)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _, schedule=schedule: schedule.step())
        Checkpoints(tmp_path, {"optimizer": optimizer, "lr_scheduler": schedule}, resume).attach(trainer)
        trainer.run([0], max_epochs=epochs)
    expected = [warmup_cosine(10)(epoch) for epoch in range(10)]
    expected += [0.5 * warmup_cosine(20)(epoch) for epoch in range(10, 20)]
    assert rates == pytest.approx(expected)


def test_a_validation_is_reported_in_a_line(validator, tmp_path, caplog):
    trainer = Engine(lambda engine, batch: {"loss": torch.tensor(0.25)})
    best = BestModel(torch.nn.Linear(1, 1), tmp_path / "model.pt")
    best.attach(validator)
    TrainingProgress(validator, best).attach(trainer)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: validate(validator, trainer.state.epoch, 0.75))
    with caplog.at_level(logging.INFO, "hybridseg.training"):
        trainer.run([0, 1], max_epochs=1)
    assert f"best weights, of epoch 1: {tmp_path / 'model.pt'}" in caplog.text
    assert "epoch    1/1  loss 0.2500  dice 0.7500  best 0.7500 at epoch 1  0:00 min" in caplog.text


def test_labels_on_another_grid_are_not_scored(tmp_path):
    label = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4), meta={"filename_or_obj": "case.nii.gz"})
    moved = torch.eye(4)
    moved[0, 3] = 40
    evaluator: Any = Engine(
        lambda engine, batch: [{"label": label, "pred": MetaTensor(label.as_tensor(), affine=moved)}]
    )
    ScoreCases({1: "organ"}, tmp_path).attach(evaluator)
    with pytest.raises(ValueError, match=r"case.nii.gz: affine that places voxels .* must be on the grid of its image"):
        evaluator.run([0])
