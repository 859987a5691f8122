"""When a training is expected to end, from the time that its epochs and validations have taken."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from statistics import fmean
from time import monotonic

from ignite.engine import Engine, Events


def remaining_seconds(epochs: float, epoch_seconds: float, validations: int, validation_seconds: float) -> float:
    """Return how long the rest of a training takes.

    Args:
        epochs: epochs left; the current one counts by the share of its steps that is left.
        epoch_seconds: seconds of an epoch, without its validation.
        validations: validations left.
        validation_seconds: seconds of a validation.
    """
    return epochs * epoch_seconds + validations * validation_seconds


class ExpectedEnd:
    """Follows a training, and expects its end; early stopping may end it sooner.

    Before the first epoch is complete its steps are extrapolated, and before the first validation none is counted.

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
        self.epoch_start = self.validation_start = self.validated = 0.0

    def attach(self, trainer: Engine) -> None:
        """Register with the trainer, after the handler that validates at the end of an epoch."""
        trainer.add_event_handler(Events.EPOCH_STARTED, self.begin)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self.finish)
        self.validator.add_event_handler(Events.STARTED, self.begin_validation)
        self.validator.add_event_handler(Events.COMPLETED, self.finish_validation)

    def begin(self) -> None:
        """Begin an epoch."""
        self.epoch_start, self.validated = self.clock(), 0.0

    def begin_validation(self) -> None:
        """Begin a validation."""
        self.validation_start = self.clock()

    def finish_validation(self) -> None:
        """End a validation."""
        self.validated = self.clock() - self.validation_start
        self.validation_seconds.append(self.validated)

    def finish(self) -> None:
        """End an epoch."""
        self.epoch_seconds.append(self.clock() - self.epoch_start - self.validated)

    def seconds_left(self, trainer: Engine) -> float:
        """Return the seconds that the rest of the training takes; call it after a step."""
        state = trainer.state
        assert state.epoch_length is not None
        assert state.max_epochs is not None
        done = state.iteration / state.epoch_length  # epochs, with a part of the current one
        steps = state.iteration - (state.epoch - 1) * state.epoch_length
        seconds = self.epoch_seconds or [(self.clock() - self.epoch_start) * state.epoch_length / max(1, steps)]
        completed = int(done)
        validations = state.max_epochs // self.interval - completed // self.interval
        validation_seconds = fmean(self.validation_seconds) if self.validation_seconds else 0.0
        return remaining_seconds(state.max_epochs - done, fmean(seconds), validations, validation_seconds)

    def time_of_day(self, trainer: Engine) -> str:
        """Return the expected end: the time, with the date unless it is today."""
        start = datetime.now()
        end = start + timedelta(seconds=self.seconds_left(trainer))
        return f"{end:%H:%M}" if end.date() == start.date() else f"{end:%Y-%m-%d %H:%M}"
