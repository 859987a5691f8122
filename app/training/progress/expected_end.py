"""When a training is expected to end, from the time that its epochs and validations have taken."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from statistics import fmean
from time import monotonic

from ignite.engine import Engine, Events


class ExpectedEnd:
    """Follows a training, and expects its end; early stopping may end it sooner.

    An epoch lasts until the next one starts, so what is written after it counts too. In the first epoch its steps are
    extrapolated, and before the first validation none is counted.

    Args:
        validator: the engine that validates.
        interval: epochs from one validation to the next.
        clock: gives the time in seconds.
    """

    def __init__(self, validator: Engine, interval: int, clock: Callable[[], float] = monotonic) -> None:
        self.validator = validator
        self.interval = interval
        self.clock = clock
        self.epoch_seconds: list[float] = []
        self.validation_seconds: list[float] = []
        self.epoch_start: float | None = None
        self.validation_start = self.validated = 0.0

    def attach(self, trainer: Engine) -> None:
        """Register with the trainer, after the handler that validates at the end of an epoch."""
        trainer.add_event_handler(Events.EPOCH_STARTED, self.begin)
        self.validator.add_event_handler(Events.STARTED, self.begin_validation)
        self.validator.add_event_handler(Events.COMPLETED, self.finish_validation)

    def begin(self) -> None:
        """Begin an epoch, which ends the one before it."""
        now = self.clock()
        if self.epoch_start is not None:
            self.epoch_seconds.append(now - self.epoch_start - self.validated)
        self.epoch_start, self.validated = now, 0.0

    def begin_validation(self) -> None:
        """Begin a validation."""
        self.validation_start = self.clock()

    def finish_validation(self) -> None:
        """End a validation."""
        self.validated = self.clock() - self.validation_start
        self.validation_seconds.append(self.validated)

    def seconds_left(self, trainer: Engine) -> float:
        """Return the seconds that the rest of the training takes; call it after a step."""
        state = trainer.state
        assert state.epoch_length is not None
        assert state.max_epochs is not None
        assert self.epoch_start is not None
        done = state.iteration / state.epoch_length  # epochs, with a part of the current one
        steps = state.iteration - (state.epoch - 1) * state.epoch_length
        current = self.clock() - self.epoch_start - self.validated
        epoch_seconds = fmean(self.epoch_seconds or [current * state.epoch_length / max(1, steps)])
        validations = state.max_epochs // self.interval - int(done) // self.interval
        validation_seconds = fmean(self.validation_seconds) if self.validation_seconds else 0.0
        return (state.max_epochs - done) * epoch_seconds + validations * validation_seconds

    def time_of_day(self, trainer: Engine) -> str:
        """Return the expected end: the time, with the date unless it is today."""
        start = datetime.now()
        end = start + timedelta(seconds=self.seconds_left(trainer))
        return f"{end:%H:%M}" if end.date() == start.date() else f"{end:%Y-%m-%d %H:%M}"
