"""Report the progress of a training: a bar over each epoch, and a line in the log after it."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from importlib.util import find_spec
from time import monotonic
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from ignite.handlers.tqdm_logger import ProgressBar

from hybridseg.app.training.best_model import BestModel, can_choose

from .expected_end import ExpectedEnd
from .metrics import label_dice

TRAINING_PARTS = {
    "loss": "loss {:.4f}",
    "learning_rate": "rate {:.3g}",
    "gradient_norm": "gradient {:.3g}",
    "samples_per_second": "{:.3g} samples/s",
    "waiting": "waited for data {:.0%}",
}
"""How the line of an epoch shows the metrics of the trainer."""
SHOWN_LABELS, LOWEST_LABELS = 8, 3
"""Labels whose Dice the line shows; of more labels, only the lowest."""

logger = logging.getLogger("hybridseg.training")


class TrainingProgress:
    """Show a progress bar over each epoch and each validation (if tqdm is installed), and log a line per epoch.

    Both show when the training is expected to end; the line also has what `TrainingMetrics` measured.

    Args:
        validator: the engine that validates.
        best: the handler that saves the best weights.
        interval: epochs from one validation to the next.
    """

    def __init__(self, validator: Engine, best: BestModel, interval: int = 1) -> None:
        self.validator = validator
        self.best = best
        self.expected_end = ExpectedEnd(validator, interval)
        self.start = monotonic()
        self.validated = 0

    def attach(self, trainer: Engine) -> None:
        """Register with the trainer, after the handler that validates at the end of an epoch."""
        if idist.get_rank() > 0:
            return
        self.expected_end.attach(trainer)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self.expect_end)
        if find_spec("tqdm"):
            bar = ProgressBar(persist=False, disable=None)
            bar.attach(trainer, metric_names=["loss"], state_attributes=["ends"])
            ProgressBar(desc="Validation", persist=False, disable=None).attach(self.validator)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self.report)
        trainer.add_event_handler(Events.COMPLETED, self.conclude)

    def expect_end(self, trainer: Engine) -> None:
        """Set `state.ends`, which the bar shows."""
        state: Any = trainer.state
        state.ends = self.expected_end.time_of_day(trainer)

    def report(self, trainer: Engine) -> None:
        """Log one line."""
        logger.info("  ".join([*self.training_parts(trainer), *self.validation_parts(), *self.time_parts(trainer)]))

    def training_parts(self, trainer: Engine) -> Iterator[str]:
        """Yield what the training of the epoch showed."""
        state = trainer.state
        yield f"epoch {state.epoch:4d}/{state.max_epochs}"
        for name, text in TRAINING_PARTS.items():
            if name in state.metrics:
                yield text.format(state.metrics[name])

    def validation_parts(self) -> Iterator[str]:
        """Yield what the validation showed, if there was one in this epoch."""
        state: Any = self.validator.state
        if len(self.expected_end.validation_seconds) == self.validated:
            return
        self.validated = len(self.expected_end.validation_seconds)
        if not can_choose(self.validator):
            yield f"{state.key_metric_name} undefined, since no validation case has a label"
            return
        dice = label_dice(state.metrics)
        shown, hint = list(dice.items()), ""
        if len(shown) > SHOWN_LABELS:
            shown, hint = sorted(shown, key=lambda item: item[1])[:LOWEST_LABELS], "lowest: "
        labels = ", ".join(f"{name} {value:.3f}" for name, value in shown)
        mean = f"{state.key_metric_name} {state.metrics[state.key_metric_name]:.4f}"
        yield f"{mean} ({hint}{labels})" if shown else mean
        yield f"best {self.best.score:.4f} at epoch {self.best.epoch}"

    def time_parts(self, trainer: Engine) -> Iterator[str]:
        """Yield the time since the start and, unless it is the last epoch, the expected end."""
        seconds = int(monotonic() - self.start)
        yield f"{seconds // 60}:{seconds % 60:02d} min"
        if trainer.state.epoch < (trainer.state.max_epochs or 0):
            yield f"ends about {self.expected_end.time_of_day(trainer)}"

    def conclude(self) -> None:
        """Log at the end where the best weights are."""
        if self.best.epoch and self.best.score == -math.inf:
            logger.warning(
                f"no validation case has a label, so the best weights are unknown: {self.best.path} has those of "
                f"the last validation, epoch {self.best.epoch}. Validate on cases with labels."
            )
        elif self.best.epoch:
            logger.info(f"best weights, of epoch {self.best.epoch}: {self.best.path}")
        else:
            logger.warning(f"no validation took place: {self.best.path} was not written")
