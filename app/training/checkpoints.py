"""Save and resume: checkpoints in the run folder, the seed of a resumed run, early stopping with a state."""

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
    """Save a checkpoint after every epoch, and resume from the latest one when asked.

    Random states are not saved, so a resumed training draws new ones (`run_seed`) and differs from an uninterrupted
    one. Its learning rate and number of epochs are those of the present config.

    Args:
        run_dir: folder of the run; it keeps the last two checkpoints of each start.
        objects: what to save by name, such as network, optimizer, lr_scheduler and best.
        resume: resume from the latest checkpoint in `run_dir`.

    Raises:
        ValueError: `run_dir` has a run and `resume` is False, or it has none and `resume` is True.
    """

    def __init__(self, run_dir: str | Path, objects: dict[str, Any], resume: bool = False) -> None:
        self.run_dir = str(run_dir)
        self.objects = objects
        self.checkpoint = latest_checkpoint(run_dir)
        if resume and self.checkpoint is None:
            raise ValueError(f"run_dir: {run_dir}: has no checkpoint_epoch=N.pt: there is no run to resume")
        if self.checkpoint is not None and not resume:
            raise ValueError(f"run_dir: {run_dir}: already has a run: use --resume True, or another folder")

    def attach(self, trainer: Engine) -> None:
        """Register with the trainer; MONAI's engines call this for each handler."""
        objects = {**self.objects, "trainer": trainer}
        if self.checkpoint is not None:
            cpu: Any = "cpu"  # torch takes a name; MONAI's annotation allows only a dict
            CheckpointLoader(self.checkpoint, objects, map_location=cpu).attach(trainer)
            for schedule in objects.values():
                if isinstance(schedule, LambdaLR):
                    trainer.add_event_handler(Events.STARTED, follow_config, schedule, list(schedule.base_lrs))
        if idist.get_rank() == 0:
            CheckpointSaver(self.run_dir, objects, save_interval=1, n_saved=2).attach(trainer)


def follow_config(schedule: LambdaLR, rates: Sequence[float]) -> None:
    """Set the learning rates of a schedule and its optimizer, which were loaded from a checkpoint, to `rates`."""
    schedule.base_lrs = list(rates)
    for group, rate, factor in zip(schedule.optimizer.param_groups, rates, schedule.lr_lambdas, strict=True):
        group["initial_lr"], group["lr"] = rate, rate * factor(schedule.last_epoch)


def run_seed(seed: int, run_dir: str | Path, resume: bool) -> int:
    """Return a seed that differs by process and by the epoch a run resumes from, so that nothing is drawn twice."""
    epoch = latest_epoch(run_dir) if resume else 0
    return seed + epoch * idist.get_world_size() + idist.get_rank()


class EarlyStop(EarlyStopHandler):
    """MONAI's `EarlyStopHandler` with a state for checkpoints: the best score, and how long ago it was reached.

    Without the state, every resumed run would count its patience from zero, so many short jobs would never stop early.
    """

    _handler: Any  # ignite's EarlyStopping, which counts; exists once the trainer is set

    def state_dict(self) -> Mapping[str, Any]:
        """Return the state for a checkpoint."""
        return self._handler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self._handler.load_state_dict(state)
