"""What a training shows while it runs: tables, pictures and trackers of experiments."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from ignite.handlers import global_step_from_engine

from hybridseg.app.training.best_model import can_choose

from .history import MEAN, History
from .overlays import PICTURE, Overlays
from .trackers import Tracker, open_trackers

TRAINING, VALIDATION = "training", "validation"
"""Before the names of metrics, in trackers."""


class Curves:
    """Hand the metrics of each epoch to trackers; write `progress.csv`, `progress.png` and `overlays.png`.

    The pictures are drawn after each validation, where matplotlib is installed. Of several processes only the first
    does anything.

    Args:
        run_dir: folder of the run.
        validator: the engine that validates.
        labels: names of the channels of its prediction, without the background.
        tensorboard: write curves for TensorBoard into the folder, if it is installed.
        mlflow: address or folder of MLflow's store; None does not use it.
        wandb: project of Weights & Biases; None does not use it.
    """

    def __init__(
        self,
        run_dir: str | Path,
        validator: Engine,
        labels: Sequence[str],
        *,
        tensorboard: bool = True,
        mlflow: str | None = None,
        wandb: str | None = None,
    ) -> None:
        self.run_dir = Path(run_dir)
        self.validator = validator
        self.wanted = {"mlflow": mlflow, "wandb": wandb}
        self.tensorboard = tensorboard
        self.history = History(run_dir)
        self.overlays = Overlays(labels)
        self.trackers: list[Tracker] = []
        self.validated = False

    def attach(self, trainer: Engine) -> None:
        """Register with the trainer, after the handler that validates at the end of an epoch.

        Raises:
            ValueError: a tracker is not installed.
        """
        if idist.get_rank() > 0:
            return
        self.trackers = list(open_trackers(self.run_dir, tensorboard=self.tensorboard, **self.wanted))
        step = global_step_from_engine(trainer)
        for tracker in self.trackers:
            for engine, tag in ((trainer, TRAINING), (self.validator, VALIDATION)):
                tracker.logger.attach_output_handler(
                    engine, Events.EPOCH_COMPLETED, tag, metric_names="all", global_step_transform=step
                )
        self.validator.add_event_handler(Events.COMPLETED, self.validation_done)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self.show)
        trainer.add_event_handler(Events.COMPLETED, self.close)
        if find_spec("matplotlib"):
            self.overlays.attach(self.validator)

    def validation_done(self) -> None:
        """Note that this epoch has a validation."""
        self.validated = True

    def show(self, trainer: Engine) -> None:
        """Record the metrics of an epoch, and draw them if it had a validation.

        Raises:
            OSError: a file cannot be written.
        """
        state: Any = self.validator.state  # MONAI's engines add the key metric
        epoch, metrics = trainer.state.epoch, dict(trainer.state.metrics)
        if not self.validated:
            self.history.add(epoch, metrics)
            return
        self.validated = False
        scores = dict(state.metrics)
        mean = scores.pop(state.key_metric_name)
        self.history.add(epoch, {**metrics, **({MEAN: mean} if can_choose(self.validator) else {}), **scores})
        if find_spec("matplotlib"):
            self.add_picture("progress", self.history.draw(), epoch)
            if self.overlays.slices:
                self.overlays.draw(self.run_dir / PICTURE, f"epoch {epoch}")
                self.add_picture("overlays", self.run_dir / PICTURE, epoch)

    def add_picture(self, name: str, file: Path, epoch: int) -> None:
        """Hand a picture to each tracker."""
        for tracker in self.trackers:
            tracker.add_picture(f"{VALIDATION}/{name}", file, epoch)

    def close(self) -> None:
        """Close the trackers."""
        for tracker in self.trackers:
            tracker.logger.close()
