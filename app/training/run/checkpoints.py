"""Save and resume: checkpoints in the run folder, and early stopping with a state."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint
from ignite.handlers.checkpoint import BaseSaveHandler
from monai.handlers import CheckpointLoader, EarlyStopHandler
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from hybridseg.app.training.average import undistributed
from hybridseg.app.training.best_model import can_choose
from hybridseg.networks import read_tensors
from hybridseg.networks.weights import WeightsError, check_finite, check_same_network

from .run_folder import checkpoint_epochs, checkpoint_path
from .saving import save_tensors

KEPT = 2
"""Number of checkpoints kept in the folder of a run."""

logger = logging.getLogger("hybridseg.training")


class Checkpoints:
    """Save a checkpoint after every epoch, and resume from the latest one when asked.

    A resumed run equals the uninterrupted one (see `reproducibility`), unless the config now sets another learning rate
    or number of epochs, or another number of processes trains. Of several processes the first chooses the checkpoint:
    the others may see an older listing of a network folder.

    Args:
        run_dir: folder of the run; it keeps the last two checkpoints.
        objects: what to save by name, such as network, optimizer, lr_scheduler and best.
        resume: True resumes from the latest readable checkpoint in `run_dir`, False starts a new run, "auto" resumes if
            there is a checkpoint, for schedulers that repeat a command.

    Raises:
        ValueError: `run_dir` has a run and `resume` is False, or the other way round, no checkpoint can be read, or it
            is that of another network.
    """

    def __init__(self, run_dir: str | Path, objects: dict[str, Any], resume: bool | str = False) -> None:
        if resume not in (True, False, "auto"):
            raise ValueError(f"resume: {resume!r}: must be true, false or auto")
        self.run_dir = str(run_dir)
        self.objects = objects
        self.checkpoint: str | None = None
        if epoch := from_first_process(lambda: epoch_to_resume(run_dir, resume, objects)):
            self.checkpoint = str(checkpoint_path(run_dir, epoch))

    def attach(self, trainer: Engine) -> None:
        """Register with the trainer; MONAI's engines call this for each handler."""
        objects = {**self.objects, "trainer": trainer}
        if self.checkpoint is not None:
            cpu: Any = "cpu"  # torch takes a name; MONAI's annotation allows only a dict
            CheckpointLoader(self.checkpoint, objects, map_location=cpu).attach(trainer)
            trainer.add_event_handler(Events.STARTED, follow_data)
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
    """Writes each checkpoint completely or not at all, and then removes all but the latest `KEPT`.

    Args:
        folder: folder of the run.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def __call__(
        self, checkpoint: Mapping[str, Any], filename: str | Path, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Write a checkpoint."""
        save_tensors(checkpoint, self.folder / filename)
        for epoch in checkpoint_epochs(self.folder)[:-KEPT]:
            checkpoint_path(self.folder, epoch).unlink(missing_ok=True)

    def remove(self, filename: str | Path) -> None:
        """Remove a checkpoint."""
        (self.folder / filename).unlink(missing_ok=True)


def follow_config(schedule: LambdaLR, rates: Sequence[float]) -> None:
    """Set the learning rates of a schedule and its optimizer, which were loaded from a checkpoint, to `rates`."""
    schedule.base_lrs = list(rates)
    for group, rate, factor in zip(schedule.optimizer.param_groups, rates, schedule.lr_lambdas, strict=True):
        group["initial_lr"], group["lr"] = rate, rate * factor(schedule.last_epoch)


def follow_data(trainer: Engine) -> None:
    """Set the length of an epoch, which was loaded from a checkpoint, to that of the data.

    More or fewer processes, or another batch size, change it: with the old one, a share of the samples would be missed.
    """
    state = trainer.state
    state.epoch_length = len(state.dataloader)  # type: ignore[arg-type]
    state.iteration = state.epoch * state.epoch_length


def from_first_process(choose: Callable[[], int]) -> int:
    """Return the number that the first of the processes that train together chooses."""
    if idist.get_world_size() == 1:
        return choose()
    return int(idist.broadcast(choose() if idist.get_rank() == 0 else 0))  # type: ignore[arg-type]


def epoch_to_resume(run_dir: str | Path, resume: bool | str, objects: Mapping[str, Any]) -> int:
    """Return the epoch of the checkpoint to resume from; 0 to start a new run.

    Args:
        run_dir: folder of the run.
        resume: True, False or "auto".
        objects: what a checkpoint must hold, besides the trainer.

    Raises:
        ValueError: `run_dir` has a run and `resume` is False, or the other way round, no checkpoint can be read, or it
            is that of another network.
    """
    has_run = bool(checkpoint_epochs(run_dir))
    if resume is True and not has_run:
        raise ValueError(f"run_dir: {run_dir}: has no checkpoint_epoch=N.pt: there is no run to resume")
    if resume is False and has_run:
        raise ValueError(f"run_dir: {run_dir}: already has a run: use --resume True, or another folder")
    return latest_readable(run_dir, objects) if has_run else 0


def latest_readable(run_dir: str | Path, objects: Mapping[str, Any]) -> int:
    """Return the epoch of the latest checkpoint of a run that can be used; warn about each that cannot.

    Args:
        run_dir: folder of the run.
        objects: what a checkpoint must hold, besides the trainer.

    Raises:
        WeightsError: it is that of another network.
        ValueError: none can be used.
    """
    for epoch in reversed(checkpoint_epochs(run_dir)):
        path = checkpoint_path(run_dir, epoch)
        try:
            content = read_tensors(path)
        except Exception as error:  # UnpicklingError, RuntimeError, EOFError and more: torch names no common kind
            logger.warning(f"{path}: unreadable ({type(error).__name__}): the checkpoint before it is used")
            continue
        if not is_checkpoint(content, objects):
            logger.warning(f"{path}: not a checkpoint of this training: the one before it is used")
            continue
        networks = {name: item for name, item in objects.items() if isinstance(item, nn.Module)}
        for name, network in networks.items():
            check_same_network(path, undistributed(network).state_dict(), content[name])
        try:
            for name in networks:
                check_finite(path, content[name])
        except WeightsError as error:
            logger.warning(f"{error}: the checkpoint before it is used")
            continue
        return epoch
    raise ValueError(f"run_dir: {run_dir}: no checkpoint can be read: remove them to start anew")


def is_checkpoint(content: Any, objects: Mapping[str, Any]) -> bool:
    """Return whether the content of a file has the states of the trainer and of all objects."""
    return isinstance(content, Mapping) and all(
        isinstance(content.get(name), Mapping) for name in ("trainer", *objects)
    )


class EarlyStop(EarlyStopHandler):
    """MONAI's `EarlyStopHandler` with a state for checkpoints: the best score, and how long ago it was reached.

    Without the state, every resumed run would count its patience from zero, so many short jobs would never stop early.
    A validation without a label to score does not count.
    """

    _handler: Any  # ignite's EarlyStopping, which counts; exists once the trainer is set

    def __call__(self, engine: Engine) -> None:
        """Compare the score of a validation with the best one."""
        if can_choose(engine):
            super().__call__(engine)

    def state_dict(self) -> Mapping[str, Any]:
        """Return the state for a checkpoint."""
        return self._handler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self._handler.load_state_dict(state)
