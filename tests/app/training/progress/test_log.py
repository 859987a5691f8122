"""A training logs a line for every epoch."""

from __future__ import annotations

import logging
import math
import re

import torch
from ignite.engine import Engine, Events

from hybridseg.app.training.best_model import BestModel
from hybridseg.app.training.progress.log import TrainingProgress

from ..conftest import validate


def loss_of(engine: Engine, batch: int) -> dict[str, torch.Tensor]:
    engine.state.metrics["loss"] = 0.25  # as TrainingMetrics does
    return {"loss": torch.tensor(0.25)}


def test_undefined_scores_are_logged_as_such(validator, tmp_path, caplog):
    trainer, best = Engine(loss_of), BestModel(torch.nn.Linear(1, 1), tmp_path / "model.pt")
    best.attach(validator)

    def validate_without_labels(engine: Engine) -> None:
        validator.fire_event(Events.STARTED)
        validate(validator, engine.state.epoch, 0.0, [math.nan, math.nan])

    trainer.add_event_handler(Events.EPOCH_COMPLETED, validate_without_labels)
    TrainingProgress(validator, best).attach(trainer)
    with caplog.at_level(logging.INFO, "hybridseg.training"):
        trainer.run([0], max_epochs=3)
    assert "dice undefined, since no validation case has a label" in caplog.text
    assert caplog.records[-1].levelno == logging.WARNING
    unknown = "no validation case has a label, so the best weights are unknown"
    assert caplog.messages[-1] == (
        f"{unknown}: {tmp_path / 'model.pt'} has those of the last validation, epoch 3. Validate on cases with labels."
    )


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
