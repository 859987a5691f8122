"""Trackers of experiments, through ignite's handlers: TensorBoard, MLflow and Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ignite.handlers.base_logger import BaseLogger

EXTRAS: Mapping[str, str] = {"mlflow": "MLflow", "wandb": "Weights & Biases"}
"""Trackers that are installed by an extra of the same name."""


@dataclass(frozen=True)
class Tracker:
    """A tracker.

    Args:
        logger: ignite's handler.
        add_picture: adds a picture, given its name, its PNG file and the epoch.
    """

    logger: BaseLogger
    add_picture: Callable[[str, Path, int], object]


def check_trackers(**wanted: str | None) -> None:
    """Check that the trackers that are wanted are installed.

    Args:
        **wanted: where each tracker keeps its runs, by its name; None for one that is not wanted.

    Raises:
        ValueError: one is not installed.
    """
    for name, place in wanted.items():
        if place is not None and find_spec(name) is None:
            from hybridseg.transforms.extras import install_command

            raise ValueError(f"{name}: {place}: {EXTRAS[name]} is not installed: {install_command(name)}")


def open_trackers(run_dir: Path, *, tensorboard: bool, mlflow: str | None, wandb: str | None) -> Iterator[Tracker]:
    """Open the trackers that are wanted.

    Args:
        run_dir: folder of the run, whose name is that of the run; TensorBoard keeps its curves there.
        tensorboard: use TensorBoard, if it is installed.
        mlflow: address or folder of MLflow's store; None does not use it.
        wandb: project of Weights & Biases; None does not use it.

    Raises:
        ValueError: a tracker is not installed.
    """
    check_trackers(mlflow=mlflow, wandb=wandb)
    if tensorboard and find_spec("tensorboard"):
        yield open_tensorboard(run_dir)
    if mlflow is not None:
        yield open_mlflow(run_dir, mlflow)
    if wandb is not None:
        yield open_wandb(run_dir, wandb)


def open_tensorboard(run_dir: Path) -> Tracker:
    """Open TensorBoard's event file in the folder of a run."""
    from ignite.handlers import TensorboardLogger

    logger = TensorboardLogger(log_dir=str(run_dir))

    def add_picture(name: str, file: Path, epoch: int) -> None:
        from matplotlib.image import imread

        logger.writer.add_image(name, imread(file), epoch, dataformats="HWC")
        logger.writer.flush()

    return Tracker(logger, add_picture)


def open_mlflow(run_dir: Path, store: str) -> Tracker:
    """Start a run in a store of MLflow."""
    from ignite.handlers import MLflowLogger

    mlflow: Any = import_module("mlflow")
    if "://" not in store:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # recent releases want to be told that it is meant
        store = Path(store).absolute().as_uri()
    mlflow.set_tracking_uri(store)
    if mlflow.active_run() is None:
        mlflow.start_run(run_name=run_dir.name)
    logger: Any = MLflowLogger()

    def add_picture(name: str, file: Path, epoch: int) -> None:
        logger.log_artifact(str(file))

    return Tracker(logger, add_picture)


def open_wandb(run_dir: Path, project: str) -> Tracker:
    """Start a run in a project of Weights & Biases."""
    from ignite.handlers import WandBLogger

    logger: Any = WandBLogger(project=project, name=run_dir.name, dir=str(run_dir))

    def add_picture(name: str, file: Path, epoch: int) -> None:
        logger.log({name: logger.Image(str(file))}, step=epoch)

    return Tracker(logger, add_picture)
