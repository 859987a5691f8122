"""The share of a training's time in which the device waits for data."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

from ignite.engine import Engine, Events

logger = logging.getLogger("hybridseg.training")

MOST_IDLE = 0.2
"""Share of an epoch from which waiting is worth a warning."""


class IdleTime:
    """Log after each epoch how long the device waited for data, and warn once if it was long.

    A step ends when its loss is known, so the device has nothing to do while the trainer waits for a batch.

    Args:
        clock: gives the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self.start = self.waiting_since = self.waited = 0.0
        self.warned = False

    def attach(self, trainer: Engine) -> None:
        """Register with the trainer, before a handler that validates at the end of an epoch."""
        trainer.add_event_handler(Events.EPOCH_STARTED, self.begin)
        trainer.add_event_handler(Events.GET_BATCH_STARTED, self.wait)
        trainer.add_event_handler(Events.GET_BATCH_COMPLETED, self.resume)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self.report)

    def begin(self) -> None:
        """Begin an epoch."""
        self.start, self.waited = self.clock(), 0.0

    def wait(self) -> None:
        """Begin to wait for a batch."""
        self.waiting_since = self.clock()

    def resume(self) -> None:
        """End waiting."""
        self.waited += self.clock() - self.waiting_since

    def report(self, trainer: Engine) -> None:
        """Log the share of the epoch that was spent waiting."""
        elapsed = self.clock() - self.start
        share = self.waited / elapsed if elapsed else 0.0
        text = f"epoch {trainer.state.epoch:4d}: waited for data {share:.0%} of {elapsed:.1f} s"
        if share > MOST_IDLE and not self.warned:
            self.warned = True
            logger.warning(f"{text}: raise num_workers if there are processors left")
        else:
            logger.info(text)
