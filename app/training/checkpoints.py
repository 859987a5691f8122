"""Checkpoints in the folder of a training, and early stopping that a resumed training continues."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint
from ignite.handlers.checkpoint import BaseSaveHandler
from monai.handlers import CheckpointLoader, EarlyStopHandler
from torch.optim.lr_scheduler import LambdaLR

from hybridseg.transforms.io.atomic import replacing

from .run_folder import checkpoint_epochs

KEPT = 2
"""Checkpoints that stay in the folder of a run."""

logger = logging.getLogger("hybridseg.training")


class Checkpoints:
    """Save after every epoch what a training needs to continue, and continue from there when asked.

    A resumed run has the learning rate and the epochs that the config sets now. Otherwise it equals the uninterrupted
    run (see `reproducibility`).

    Args:
        run_dir: folder of the run; it keeps the last two checkpoints.
        objects: what to save by name, such as network, optimizer, lr_scheduler and best.
        resume: True continues from the newest readable checkpoint in `run_dir`, False starts anew, and "auto" does what
            the folder allows, for schedulers that repeat a command.

    Raises:
        ValueError: `run_dir` has a run and `resume` is False, or the other way round, or no checkpoint can be read.
    """

    def __init__(self, run_dir: str | Path, objects: dict[str, Any], resume: bool | str = False) -> None:
        if resume not in (True, False, "auto"):
            raise ValueError(f"resume: {resume!r}: must be true, false or auto")
        self.run_dir = str(run_dir)
        self.objects = objects
        epochs = checkpoint_epochs(run_dir)
        if resume is True and not epochs:
            raise ValueError(f"run_dir: {run_dir}: has no checkpoint_epoch=N.pt: there is nothing to resume")
        if resume is False and epochs:
            raise ValueError(f"run_dir: {run_dir}: has a run already: resume it by --resume True, or name another")
        self.checkpoint = newest_readable(run_dir) if epochs else None

    def attach(self, trainer: Engine) -> None:
        """Called by MONAI's engines for each of their handlers."""
        objects = {**self.objects, "trainer": trainer}
        if self.checkpoint is not None:
            anywhere: Any = "cpu"  # a name is what torch takes; MONAI's annotation knows dicts only
            CheckpointLoader(self.checkpoint, objects, map_location=anywhere).attach(trainer)
            for schedule in objects.values():
                if isinstance(schedule, LambdaLR):
                    trainer.add_event_handler(Events.STARTED, follow_config, schedule, list(schedule.base_lrs))
        if idist.get_rank() == 0:
            save = Checkpoint(
                objects,
                RunFolder(self.run_dir),
                score_function=lambda engine: engine.state.epoch,
                score_name="epoch",
                n_saved=None,
            )
            trainer.add_event_handler(Events.EPOCH_COMPLETED, save)


class RunFolder(BaseSaveHandler):
    """Writes checkpoints so that a killed run leaves whole ones only, and removes the oldest after the newest is there.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def __call__(
        self, checkpoint: Mapping[str, Any], filename: str | Path, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Write a checkpoint."""
        with replacing(self.folder / filename) as temporary:
            torch.save(checkpoint, temporary)
        for epoch in checkpoint_epochs(self.folder)[:-KEPT]:
            (self.folder / f"checkpoint_epoch={epoch}.pt").unlink(missing_ok=True)

    def remove(self, filename: str | Path) -> None:
        """Remove a checkpoint."""
        (self.folder / filename).unlink(missing_ok=True)


def follow_config(schedule: LambdaLR, rates: Sequence[float]) -> None:
    """Give the optimizer of a schedule that was loaded from a checkpoint other learning rates than those of then."""
    schedule.base_lrs = list(rates)
    for group, rate, factor in zip(schedule.optimizer.param_groups, rates, schedule.lr_lambdas, strict=True):
        group["initial_lr"], group["lr"] = rate, rate * factor(schedule.last_epoch)


def newest_readable(run_dir: str | Path) -> str:
    """Return the newest checkpoint of a run that can be read, with a warning for each that cannot.

    Raises:
        ValueError: none can be read.
    """
    for epoch in reversed(checkpoint_epochs(run_dir)):
        path = Path(run_dir) / f"checkpoint_epoch={epoch}.pt"
        try:
            torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # UnpicklingError, RuntimeError, EOFError and more: torch names no common kind
            logger.warning(f"{path}: unreadable ({type(error).__name__}): the checkpoint before it is used")
        else:
            return str(path)
    raise ValueError(f"run_dir: {run_dir}: no checkpoint can be read: remove them to start anew")


class EarlyStop(EarlyStopHandler):
    """MONAI's `EarlyStopHandler` with a state for checkpoints: the best score, and for how long there was no better.

    Without it a training of many short jobs would begin to wait anew in each, and never stop early.
    """

    _handler: Any  # ignite's EarlyStopping, which counts; there once the trainer is set

    def state_dict(self) -> Mapping[str, Any]:
        """What a resumed training must know."""
        return self._handler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._handler.load_state_dict(state)
