"""The time that a training waits for data is logged each epoch; a long one is a warning."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from ignite.engine import Engine

from hybridseg.app.training.idle import IdleTime


class Clock:
    """A clock that a test advances."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def batches(clock: Clock, seconds: float, count: int) -> Iterator[int]:
    """Yield batches that take some seconds to load."""
    for number in range(count):
        clock.now += seconds
        yield number


@pytest.mark.parametrize(("loading", "share", "warns"), [(1.0, "10%", False), (3.0, "25%", True)])
def test_waiting_is_logged_each_epoch_and_warned_of_once(caplog, loading, share, warns):
    clock = Clock()

    def step(engine: Engine, batch: int) -> None:
        clock.now += 9.0

    trainer = Engine(step)
    IdleTime(clock).attach(trainer)
    caplog.set_level(logging.INFO, "hybridseg.training")
    trainer.run(batches(clock, loading, 4), max_epochs=2, epoch_length=2)
    seconds = 2 * (9 + loading)
    records = [record for record in caplog.records if record.name == "hybridseg.training"]
    for epoch, record in enumerate(records, start=1):
        assert record.message.startswith(f"epoch    {epoch}: waited for data {share} of {seconds:.1f} s")
    assert [record.levelno == logging.WARNING for record in records] == [warns, False]
