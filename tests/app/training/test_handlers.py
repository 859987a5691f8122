"""A training keeps its best weights, and logs a line for every epoch."""

from __future__ import annotations

import logging
import math
import re
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events

from hybridseg.app.training.handlers import BestModel, TrainingProgress


@pytest.fixture
def validator() -> Engine:
    """An engine whose key metric a test sets."""
    engine: Any = Engine(lambda engine, batch: None)
    engine.state.key_metric_name = "dice"
    return engine


def validate(validator: Engine, epoch: int, dice: float, scores: list[float] | None = None) -> None:
    """Validate with a mean Dice of the scores of cases, which are NaN where a case has no label."""
    validator.state.epoch = epoch
    validator.state.metrics = {"dice": dice}
    if scores is not None:
        state: Any = validator.state
        state.metric_details = {"dice": torch.tensor([scores])}
    validator.fire_event(Events.COMPLETED)


def loss_of(engine: Engine, batch: int) -> dict[str, torch.Tensor]:
    engine.state.metrics["loss"] = 0.25  # as TrainingMetrics does
    return {"loss": torch.tensor(0.25)}


def test_last_weights_are_kept_where_no_case_has_a_label(validator, tmp_path, caplog):
    network, trainer = torch.nn.Linear(1, 1), Engine(loss_of)
    best = BestModel(network, tmp_path / "model.pt")
    best.attach(validator)

    def validate_without_labels(engine: Engine) -> None:
        torch.nn.init.constant_(network.weight, engine.state.epoch)
        validator.fire_event(Events.STARTED)
        validate(validator, engine.state.epoch, 0.0, [math.nan, math.nan])

    trainer.add_event_handler(Events.EPOCH_COMPLETED, validate_without_labels)
    TrainingProgress(validator, best).attach(trainer)
    with caplog.at_level(logging.INFO, "hybridseg.training"):
        trainer.run([0], max_epochs=3)
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].item() == 3
    assert (best.score, best.epoch) == (-math.inf, 3)
    assert "dice undefined, since no validation case has a label" in caplog.text
    assert caplog.records[-1].levelno == logging.WARNING
    assert "nothing could choose the best weights" in caplog.messages[-1]
    validate(validator, 4, 0.3, [math.nan, 0.3])
    assert (best.score, best.epoch) == (0.3, 4)


def test_best_weights_are_kept_not_the_last(validator, tmp_path):
    network = torch.nn.Linear(1, 1)
    best = BestModel(network, tmp_path / "model.pt")
    best.attach(validator)
    for epoch, dice in enumerate([0.5, 0.8, 0.7], start=1):
        torch.nn.init.constant_(network.weight, epoch)
        validate(validator, epoch, dice)
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].item() == 2
    assert (best.score, best.epoch) == (0.8, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_resumed_training_knows_the_best_score(validator, tmp_path):
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


def test_epoch_is_logged_as_one_line(validator, tmp_path, caplog):
    trainer = Engine(loss_of)
    best = BestModel(torch.nn.Linear(1, 1), tmp_path / "model.pt")
    best.attach(validator)
    validator.add_event_handler(Events.COMPLETED, lambda: validator.state.metrics.update({"dice/liver": 0.75}))

    def validate_at_2(engine: Engine) -> None:
        engine.state.metrics.update({"learning_rate": 0.002, "waiting": 0.125})
        if engine.state.epoch == 2:
            validator.fire_event(Events.STARTED)
            validate(validator, 2, 0.75)

    trainer.add_event_handler(Events.EPOCH_COMPLETED, validate_at_2)
    TrainingProgress(validator, best, interval=2).attach(trainer)
    with caplog.at_level(logging.INFO, "hybridseg.training"):
        trainer.run([0, 1], max_epochs=2)
    first, second, end = caplog.messages
    measured = r"loss 0\.2500  rate 0\.002  waited for data 12%"
    assert re.fullmatch(rf"epoch    1/2  {measured}  \d+:\d\d min  ends about [-\d: ]+", first)
    scores = r"dice 0\.7500 \(liver 0\.750\)  best 0\.7500 at epoch 2"
    assert re.fullmatch(rf"epoch    2/2  {measured}  {scores}  \d+:\d\d min", second)
    assert end == f"best weights, of epoch 2: {tmp_path / 'model.pt'}"


def test_only_the_lowest_of_many_labels_are_logged(validator, tmp_path):
    progress = TrainingProgress(validator, BestModel(torch.nn.Linear(1, 1), tmp_path / "model.pt"))
    progress.expected_end.validation_seconds.append(1.0)
    validator.state.metrics = {"dice": 0.5} | {f"dice/{label}": label / 10 for label in reversed(range(9))}
    assert next(iter(progress.validation_parts())) == "dice 0.5000 (lowest: 0 0.000, 1 0.100, 2 0.200)"


def test_training_without_validation_is_logged(validator, tmp_path, caplog):
    trainer = Engine(loss_of)
    TrainingProgress(validator, BestModel(torch.nn.Linear(1, 1), tmp_path / "model.pt")).attach(trainer)
    with caplog.at_level(logging.INFO, "hybridseg.training"):
        trainer.run([0], max_epochs=1)
    assert caplog.messages[1:] == [f"no validation took place: {tmp_path / 'model.pt'} was not written"]
