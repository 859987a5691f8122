"""The time that a training waits for data is measured each epoch; a long one is a warning."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ignite.engine import Engine

from hybridseg.app.training.progress.idle import IdleTime


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


@pytest.mark.parametrize(("loading", "share", "warns"), [(1.0, 0.1, False), (3.0, 0.25, True)])
def test_waiting_is_measured_and_warned_of_once(caplog, loading, share, warns):
    clock = Clock()

    def step(engine: Engine, batch: int) -> None:
        clock.now += 9.0

    trainer, idle = Engine(step), IdleTime(clock)
    idle.attach(trainer)
    trainer.run(batches(clock, loading, 4), max_epochs=2, epoch_length=2)
    assert idle.seconds == 2 * (9 + loading)
    assert idle.share == pytest.approx(share)
    records = [record for record in caplog.records if record.name == "hybridseg.training"]
    assert len(records) == int(warns)
    if warns:
        assert records[0].message.startswith("epoch    1: waited for data 25% of 24.0 s: raise num_workers")
