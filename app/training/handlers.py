"""Handlers of a training: keep the best weights, and report progress."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers.tqdm_logger import ProgressBar

from .expected_end import ExpectedEnd
from .finite import is_finite
from .metrics import label_dice
from .saving import save_tensors

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


def can_choose(validator: Engine) -> bool:
    """Return whether a validation says which weights are better: not if no validation case has a label to score.

    MONAI's mean of scores that are all undefined is 0, as that of the worst network.
    """
    state: Any = validator.state
    scores = getattr(state, "metric_details", {}).get(getattr(state, "key_metric_name", None))
    return scores is None or not bool(torch.isnan(scores).all())


class BestModel:
    """Save the weights after each validation that beats the best one so far.

    If no validation case has a label, nothing can choose, and the weights are saved after each validation, so that the
    last are kept. The file is a state dict of tensors; it is replaced as a whole.

    Args:
        network: the network in training.
        path: the file to write, such as `<run_dir>/model.pt`.
    """

    def __init__(self, network: torch.nn.Module, path: str | Path) -> None:
        self.network = getattr(network, "module", network)  # within DistributedDataParallel
        self.path = Path(path)
        self.score = -math.inf
        self.epoch = 0

    def attach(self, validator: Engine) -> None:
        """Register with the validator; MONAI's engines call this for each handler."""
        validator.add_event_handler(Events.COMPLETED, self)

    def __call__(self, validator: Engine) -> None:
        state: Any = validator.state  # MONAI's engines add the key metric
        score = float(state.metrics[state.key_metric_name]) if can_choose(validator) else -math.inf
        if score > self.score or score == -math.inf == self.score:
            if not is_finite(self.network.state_dict().values()):
                logger.warning(f"epoch {state.epoch}: weights are not finite: {self.path} was not written")
                return
            self.score, self.epoch = score, state.epoch
            if idist.get_rank() == 0:
                save_tensors(self.network.state_dict(), self.path)

    def state_dict(self) -> dict[str, float]:
        """Return the state for a checkpoint: the best score and its epoch."""
        return {"score": self.score, "epoch": self.epoch}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Restore the state from a checkpoint."""
        self.score, self.epoch = state["score"], int(state["epoch"])


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
        yield f"{state.key_metric_name} {state.metrics[state.key_metric_name]:.4f}{f' ({hint}{labels})' * bool(shown)}"
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
                f"no validation case has a label, so nothing could choose the best weights and nothing stopped early: "
                f"the last ones, of epoch {self.best.epoch}, are in {self.best.path}. Validate on cases with labels."
            )
        elif self.best.epoch:
            logger.info(f"best weights, of epoch {self.best.epoch}: {self.best.path}")
        else:
            logger.warning(f"no validation took place: {self.best.path} was not written")
