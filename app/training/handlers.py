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
from .saving import save_tensors

logger = logging.getLogger("hybridseg.training")


class BestModel:
    """Save the weights after each validation that beats the best one so far.

    The file is a state dict of tensors; it is replaced as a whole.

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
        score = float(state.metrics[state.key_metric_name])
        if score > self.score:
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
            f"  {name} {state.metrics[name]:.4f}"
            f"  best {self.best.score:.4f} at epoch {self.best.epoch}"
            f"  {seconds // 60}:{seconds % 60:02d} min"
        )

    def conclude(self) -> None:
        """Log at the end where the best weights are."""
        if self.best.epoch:
            logger.info(f"best weights, of epoch {self.best.epoch}: {self.best.path}")
        else:
            logger.warning(f"no validation took place: {self.best.path} was not written")
