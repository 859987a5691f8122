"""The end of a training is expected from what its epochs and validations took."""

from __future__ import annotations

import re

import pytest
from ignite.engine import Engine, Events

from hybridseg.app.training.progress.expected_end import ExpectedEnd

STEP, VALIDATION, SAVING = 3.0, 10.0, 1.0
"""Seconds of a step, of a validation and of a checkpoint; an epoch has two steps and a checkpoint."""


@pytest.mark.parametrize(
    ("step", "seconds"),
    [
        (1, 5 * STEP),  # the first epoch is extrapolated, and no validation is known
        (2, 4 * STEP),
        (4, 2 * STEP + SAVING),  # the validation of the second epoch follows
        (5, (2 * STEP + SAVING) / 2 + VALIDATION),
    ],
)
def test_rest_is_extrapolated_at_every_step(step: int, seconds: float) -> None:
    now, found = [0.0], {}

    def wait(seconds: float) -> None:
        now[0] += seconds

    trainer, validator = Engine(lambda engine, batch: wait(STEP)), Engine(lambda engine, batch: wait(VALIDATION))
    validate = Events.EPOCH_COMPLETED(lambda engine, epoch: epoch > 1)
    trainer.add_event_handler(validate, lambda: validator.run([0]))
    expected = ExpectedEnd(validator, 1, lambda: now[0])
    expected.attach(trainer)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: wait(SAVING))
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED,
        lambda: found.update({trainer.state.iteration: expected.seconds_left(trainer)}),
    )
    trainer.run([0, 1], max_epochs=3)
    assert found[step] == pytest.approx(seconds)


def test_end_is_a_time_of_day() -> None:
    trainer, validator = Engine(lambda engine, batch: None), Engine(lambda engine, batch: None)
    expected = ExpectedEnd(validator, 1)
    expected.attach(trainer)
    trainer.run([0], max_epochs=1)
    assert re.fullmatch(r"(\d{4}-\d\d-\d\d )?\d\d:\d\d", expected.time_of_day(trainer))
    expected.epoch_seconds = [48 * 3600.0]
    trainer.state.max_epochs = 2
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", expected.time_of_day(trainer))
