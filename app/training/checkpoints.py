"""Checkpoints in the folder of a training, and early stopping that a resumed training continues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from monai.handlers import CheckpointLoader, CheckpointSaver, EarlyStopHandler
from torch.optim.lr_scheduler import LambdaLR

from .run_folder import latest_checkpoint, latest_epoch


class Checkpoints:
    """Save after every epoch what a training needs to go on, and go on from there when asked.

    Random states are not among it: a resumed training draws new ones (`run_seed`) and is not the uninterrupted one. Its
    learning rate is what the config says now, for the epochs that it says now.

    Args:
        run_dir: folder of the run; the last two checkpoints of each start are kept there.
        objects: what to save by name, such as network, optimizer, lr_scheduler and best.
        resume: go on from the newest checkpoint in `run_dir`.

    Raises:
        ValueError: `run_dir` has a run and `resume` is False, or the other way round.
    """

    def __init__(self, run_dir: str | Path, objects: dict[str, Any], resume: bool = False) -> None:
        self.run_dir = str(run_dir)
        self.objects = objects
        self.checkpoint = latest_checkpoint(run_dir)
        if resume and self.checkpoint is None:
            raise ValueError(f"run_dir: {run_dir}: has no checkpoint_epoch=N.pt: there is nothing to resume")
        if self.checkpoint is not None and not resume:
            raise ValueError(f"run_dir: {run_dir}: has a run already: resume it by --resume True, or name another")

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
            CheckpointSaver(self.run_dir, objects, save_interval=1, n_saved=2).attach(trainer)


def follow_config(schedule: LambdaLR, rates: Sequence[float]) -> None:
    """Give the optimizer of a schedule that was loaded from a checkpoint other learning rates than those of then."""
    schedule.base_lrs = list(rates)
    for group, rate, factor in zip(schedule.optimizer.param_groups, rates, schedule.lr_lambdas, strict=True):
        group["initial_lr"], group["lr"] = rate, rate * factor(schedule.last_epoch)


def run_seed(seed: int, run_dir: str | Path, resume: bool) -> int:
    """A seed of its own for every process, and for every epoch from which a run goes on: nothing is drawn twice."""
    epoch = latest_epoch(run_dir) if resume else 0
    return seed + epoch * idist.get_world_size() + idist.get_rank()


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
