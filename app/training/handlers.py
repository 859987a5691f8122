"""Handlers of a training: keep the best weights, and report progress."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers.tqdm_logger import ProgressBar
from ignite.metrics import RunningAverage

from .finite import is_finite
from .idle import IdleTime
from .saving import save_tensors

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
    """Show a progress bar over each epoch and each validation (if tqdm is installed), and log a line per validation.

    Also logs after each epoch how long the device waited for data; see `IdleTime`.

    Args:
        validator: the engine that validates.
        best: the handler that saves the best weights.
    """

    def __init__(self, validator: Engine, best: BestModel) -> None:
        self.validator = validator
        self.best = best
        self.start = monotonic()

    def attach(self, trainer: Engine) -> None:
        """Register with the trainer; MONAI's engines call this for each handler."""
        RunningAverage(output_transform=lambda output: output["loss"].item()).attach(trainer, "loss")
        if idist.get_rank() == 0:
            IdleTime().attach(trainer)
            if find_spec("tqdm"):
                ProgressBar(persist=False, disable=None).attach(trainer, metric_names=["loss"])
                ProgressBar(desc="Validation", persist=False, disable=None).attach(self.validator)
            self.validator.add_event_handler(Events.COMPLETED, self.report, trainer)
            trainer.add_event_handler(Events.COMPLETED, self.conclude)

    def report(self, trainer: Engine) -> None:
        """Log one line: epoch, loss, key metric, the best so far, and the time since the start."""
        state: Any = self.validator.state
        name = state.key_metric_name
        seconds = int(monotonic() - self.start)
        logger.info(
            f"epoch {trainer.state.epoch:4d}/{trainer.state.max_epochs}"
            f"  loss {trainer.state.metrics['loss']:.4f}"
            f"  {self.shown_score(name)}"
            f"  {seconds // 60}:{seconds % 60:02d} min"
        )

    def shown_score(self, name: str) -> str:
        """Return the key metric of this validation and the best so far."""
        if not can_choose(self.validator):
            return f"{name} undefined, since no validation case has a label"
        best = f"best {self.best.score:.4f} at epoch {self.best.epoch}"
        return f"{name} {self.validator.state.metrics[name]:.4f}  {best}"

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
