"""Handlers of a run: what a training keeps and shows, where it goes on from, and the scores of an evaluation."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers.tqdm_logger import ProgressBar
from ignite.metrics import RunningAverage
from monai.handlers import CheckpointLoader, CheckpointSaver
from monai.utils import ImageMetaKey
from torch.optim.lr_scheduler import LambdaLR

from hybridseg.transforms.atomic import replacing
from hybridseg.transforms.cases import case_name
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.geometry import grid_difference, voxel_lengths
from hybridseg.transforms.regions import Regions

from .checkpoints import latest_checkpoint, latest_epoch

if TYPE_CHECKING:
    from .scores import LabelScore

logger = logging.getLogger("hybridseg.training")


class BestModel:
    """Keep the weights of the best validation so far: a state dict of tensors, replaced as a whole.

    Args:
        network: the network that trains.
        path: the file to write, such as `<run_dir>/model.pt`.
    """

    def __init__(self, network: torch.nn.Module, path: str | Path) -> None:
        self.network = getattr(network, "module", network)  # within DistributedDataParallel
        self.path = Path(path)
        self.score = -math.inf
        self.epoch = 0

    def attach(self, validator: Engine) -> None:
        """Called by MONAI's engines for each of their handlers."""
        validator.add_event_handler(Events.COMPLETED, self)

    def __call__(self, validator: Engine) -> None:
        state: Any = validator.state  # MONAI's engines add what the key metric is
        score = float(state.metrics[state.key_metric_name])
        if score > self.score:
            self.score, self.epoch = score, state.epoch
            if idist.get_rank() == 0:
                with replacing(self.path) as temporary:
                    torch.save(self.network.state_dict(), temporary)

    def state_dict(self) -> dict[str, float]:
        """What a resumed training must know: the best score and its epoch."""
        return {"score": self.score, "epoch": self.epoch}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """The inverse of `state_dict`."""
        self.score, self.epoch = state["score"], int(state["epoch"])


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


class TrainingProgress:
    """A progress bar (of tqdm, if it is there) over each epoch and each validation, and a line for every validation.

    Args:
        validator: the engine that validates.
        best: what keeps the best weights.
    """

    def __init__(self, validator: Engine, best: BestModel) -> None:
        self.validator = validator
        self.best = best
        self.start = monotonic()

    def attach(self, trainer: Engine) -> None:
        """Called by MONAI's engines for each of their handlers."""
        RunningAverage(output_transform=lambda output: output["loss"].item()).attach(trainer, "loss")
        if idist.get_rank() == 0:
            if find_spec("tqdm"):
                ProgressBar(persist=False, disable=None).attach(trainer, metric_names=["loss"])
                ProgressBar(desc="Validation", persist=False, disable=None).attach(self.validator)
            self.validator.add_event_handler(Events.COMPLETED, self.report, trainer)
            trainer.add_event_handler(Events.COMPLETED, self.conclude)

    def report(self, trainer: Engine) -> None:
        """Log one line: epoch, loss, the metric that chooses, the best so far, and the time since the start."""
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
        """Log where the best weights are."""
        if self.best.epoch:
            logger.info(f"best weights, of epoch {self.best.epoch}: {self.best.path}")
        else:
            logger.warning(f"no validation took place: {self.best.path} was not written")


def follow_config(schedule: LambdaLR, rates: Sequence[float]) -> None:
    """Give the optimizer of a schedule that was loaded from a checkpoint other learning rates than those of then."""
    schedule.base_lrs = list(rates)
    for group, rate, factor in zip(schedule.optimizer.param_groups, rates, schedule.lr_lambdas, strict=True):
        group["initial_lr"], group["lr"] = rate, rate * factor(schedule.last_epoch)


def warmup_cosine(epochs: int) -> Callable[[int], float]:
    """A factor for the learning rate: up from a tenth over the first fiftieth of the epochs, down to 0 along a cosine.

    A plain function, which torch's LambdaLR leaves out of checkpoints: a run that is resumed for longer follows the new
    schedule (`Checkpoints`).
    """
    warmup = max(1, epochs // 50)

    def factor(epoch: int) -> float:
        if epoch < warmup:
            return 0.1 + 0.9 * epoch / warmup
        return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (epoch - warmup) / max(1, epochs - warmup)))

    return factor


def run_seed(seed: int, run_dir: str | Path, resume: bool) -> int:
    """A seed of its own for every process, and for every epoch from which a run goes on: nothing is drawn twice."""
    epoch = latest_epoch(run_dir) if resume else 0
    return seed + epoch * idist.get_world_size() + idist.get_rank()


class ScoreCases:
    """Score each case as `hybridseg evaluate` does; at the end write the scores and log their table.

    The evaluator's postprocessed outputs have `pred` and `label`, MetaTensors (1, X, Y, Z) of labels on one grid.

    Args:
        label_names: name of each label to score; a JSON configuration gives the labels as text.
        output_dir: folder for `scores.csv`, `scores.json` and `summary.json`.
        tolerance: of the surface Dice, in mm.
        regions: score these instead of labels.
    """

    def __init__(
        self,
        label_names: Mapping[str | int, str],
        output_dir: str | Path,
        tolerance: float = 1.0,
        regions: Regions | None = None,
    ) -> None:
        self.label_names = {int(label): name for label, name in label_names.items()}
        self.output_dir = Path(output_dir)
        self.tolerance = tolerance
        self.regions = regions
        self.scores: list[LabelScore] = []

    def attach(self, evaluator: Engine) -> None:
        """Called by MONAI's engines for each of their handlers."""
        evaluator.add_event_handler(Events.STARTED, lambda: self.scores.clear())
        evaluator.add_event_handler(Events.ITERATION_COMPLETED, self.score)
        evaluator.add_event_handler(Events.COMPLETED, self.report)

    def score(self, evaluator: Engine) -> None:
        """Score the cases of the batch that was just predicted."""
        from .label_maps import compact_labels
        from .scores import score_case

        outputs: Any = evaluator.state.output
        for output in outputs:
            label, prediction = output["label"], output["pred"]
            grids = [(volume.shape[1:], volume.affine.cpu().numpy()) for volume in (label, prediction)]
            if fault := grid_difference(*grids[0], *grids[1]):
                raise VolumeError(label.meta[ImageMetaKey.FILENAME_OR_OBJ], fault, "must be on the grid of its image")
            self.scores += score_case(
                compact_labels(prediction[0]),
                compact_labels(label[0]),
                spacing=voxel_lengths(label.affine.cpu().numpy()).tolist(),
                label_names=self.label_names,
                regions=self.regions,
                tolerance=self.tolerance,
                case=case_name(label.meta[ImageMetaKey.FILENAME_OR_OBJ]),
            )

    def report(self) -> None:
        """Write `scores.csv`, `scores.json` and `summary.json`, and log the table."""
        from .reports import summary_table, write_reports

        write_reports(self.scores, self.output_dir, tolerance=self.tolerance)
        table = summary_table(self.scores, tolerance=self.tolerance)
        logging.getLogger("hybridseg.evaluation").info(f"{table}\nscores written to {self.output_dir}")
