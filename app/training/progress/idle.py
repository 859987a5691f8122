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
    """Measure in each epoch how long the device waits for data, and warn once if it is long.

    A step ends when its loss is known, so the device has nothing to do while the trainer waits for a batch.

    Args:
        clock: gives the time in seconds.

    Attributes:
        seconds: length of the last epoch, without its validation.
        share: the share of it that was spent waiting.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self.start = self.waiting_since = self.waited = 0.0
        self.seconds = self.share = 0.0
        self.warned = False

    def attach(self, trainer: Engine) -> None:
        """Register with the trainer, before a handler that validates at the end of an epoch."""
        trainer.add_event_handler(Events.EPOCH_STARTED, self.begin)
        trainer.add_event_handler(Events.GET_BATCH_STARTED, self.wait)
        trainer.add_event_handler(Events.GET_BATCH_COMPLETED, self.resume)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self.finish)

    def begin(self) -> None:
        """Begin an epoch."""
        self.start, self.waited = self.clock(), 0.0

    def wait(self) -> None:
        """Begin to wait for a batch."""
        self.waiting_since = self.clock()

    def resume(self) -> None:
        """End waiting."""
        self.waited += self.clock() - self.waiting_since

    def finish(self, trainer: Engine) -> None:
        """End an epoch."""
        self.seconds = self.clock() - self.start
        self.share = self.waited / self.seconds if self.seconds else 0.0
        if self.share > MOST_IDLE and not self.warned:
            self.warned = True
            logger.warning(
                f"epoch {trainer.state.epoch:4d}: waited for data {self.share:.0%} of {self.seconds:.1f} s: "
                "raise num_workers if there are processors left"
            )
