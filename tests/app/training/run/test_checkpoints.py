"""A training resumes where it stopped, with the learning rate of the config and the patience that is left."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events

from hybridseg.app.training.run.checkpoints import Checkpoints, EarlyStop
from hybridseg.app.training.run.run_folder import latest_checkpoint
from hybridseg.app.training.schedule import warmup_cosine


def test_earlier_run_is_neither_overwritten_nor_missed(tmp_path):
    with pytest.raises(ValueError, match=r"run_dir: .*: has no checkpoint_epoch=N.pt: there is no run to resume"):
        Checkpoints(tmp_path, {}, resume=True)
    (tmp_path / "checkpoint_epoch=1.pt").touch()
    rule = "already has a run: use --resume True, or another folder"
    with pytest.raises(ValueError, match=rf"run_dir: .*: {rule}"):
        Checkpoints(tmp_path, {})


def test_training_resumes_after_the_last_epoch(tmp_path):
    network = torch.nn.Linear(1, 1)
    seen = []
    for epochs, resume in ((2, False), (3, True)):
        trainer = Engine(lambda engine, batch: seen.append(engine.state.epoch))
        Checkpoints(tmp_path, {"network": network}, resume).attach(trainer)
        trainer.run([0], max_epochs=epochs)
    assert seen == [1, 2, 3]
    assert latest_checkpoint(tmp_path) == str(tmp_path / "checkpoint_epoch=3.pt")


def test_resumed_run_sees_all_samples_of_more_or_fewer_processes(tmp_path):
    seen: list[tuple[int, int]] = []
    for data, epochs, resume in ((range(4), 1, False), (range(8), 2, "auto"), (range(2), 3, "auto")):
        trainer = Engine(lambda engine, sample: seen.append((engine.state.epoch, sample)))
        Checkpoints(tmp_path, {"network": torch.nn.Linear(1, 1)}, resume).attach(trainer)
        trainer.run(data, max_epochs=epochs)
        assert trainer.state.iteration == epochs * len(data)
    assert seen == [(epoch, sample) for epoch, length in ((1, 4), (2, 8), (3, 2)) for sample in range(length)]


def test_resumed_run_follows_the_config_of_now(tmp_path):
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


@pytest.mark.filterwarnings("ignore:.*_delta' is deprecated:DeprecationWarning")  # MONAI passes it to ignite
def test_validation_without_labels_does_not_stop_early():
    trainer = Engine(lambda engine, batch: None)
    stop = EarlyStop(patience=1, score_function=lambda engine: 0.0, trainer=trainer)
    validator: Any = Engine(lambda engine, batch: None)
    validator.state.key_metric_name = "dice"
    for score, stopped in ((math.nan, False), (math.nan, False), (0.0, False), (0.0, True)):
        validator.state.metric_details = {"dice": torch.tensor([[score]])}
        stop(validator)
        assert trainer.should_terminate == stopped


@pytest.mark.filterwarnings("ignore:.*_delta' is deprecated:DeprecationWarning")  # MONAI passes it to ignite
def test_resumed_run_keeps_the_patience_that_is_left(tmp_path):
    for resume, epochs, last in ((False, 3, 3), (True, 20, 5)):
        trainer = Engine(lambda engine, batch: None)
        early_stop = EarlyStop(patience=4, score_function=lambda engine: 0.5, trainer=trainer)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, early_stop)
        Checkpoints(tmp_path, {"early_stop": early_stop}, resume).attach(trainer)
        trainer.run([0], max_epochs=epochs)
        assert trainer.state.epoch == last
