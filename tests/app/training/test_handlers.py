"""A training keeps its best weights, and logs a line for every validation."""

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


def test_last_weights_are_kept_where_no_case_has_a_label(validator, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    network, trainer = torch.nn.Linear(1, 1), Engine(lambda engine, batch: {"loss": torch.zeros(())})
    best = BestModel(network, tmp_path / "model.pt")
    best.attach(validator)
    TrainingProgress(validator, best).attach(trainer)
    for epoch in (1, 2, 3):
        torch.nn.init.constant_(network.weight, epoch)
        trainer.run([0], max_epochs=1)
        validate(validator, epoch, 0.0, [math.nan, math.nan])
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].item() == 3
    assert (best.score, best.epoch) == (-math.inf, 3)
    assert "dice undefined, since no validation case has a label" in caplog.text
    trainer.fire_event(Events.COMPLETED)
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


def test_validation_is_logged_as_one_line(validator, tmp_path, caplog):
    trainer = Engine(lambda engine, batch: {"loss": torch.tensor(0.25)})
    best = BestModel(torch.nn.Linear(1, 1), tmp_path / "model.pt")
    best.attach(validator)
    TrainingProgress(validator, best).attach(trainer)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: validate(validator, trainer.state.epoch, 0.75))
    with caplog.at_level(logging.INFO, "hybridseg.training"):
        trainer.run([0, 1], max_epochs=1)
    line, end = caplog.messages[1:]
    assert re.fullmatch(r"epoch    1/1  loss 0\.2500  dice 0\.7500  best 0\.7500 at epoch 1  \d+:\d\d min", line)
    assert end == f"best weights, of epoch 1: {tmp_path / 'model.pt'}"


def test_training_without_validation_is_logged(validator, tmp_path, caplog):
    trainer = Engine(lambda engine, batch: {"loss": torch.tensor(0.25)})
    TrainingProgress(validator, BestModel(torch.nn.Linear(1, 1), tmp_path / "model.pt")).attach(trainer)
    with caplog.at_level(logging.INFO, "hybridseg.training"):
        trainer.run([0], max_epochs=1)
    assert caplog.messages[1:] == [f"no validation took place: {tmp_path / 'model.pt'} was not written"]
