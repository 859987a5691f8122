"""The folder of a training run: one training holds it; its checkpoints and its record."""

from typing import TYPE_CHECKING

from hybridseg.transforms.lazy import lazy_names

if TYPE_CHECKING:
    from .checkpoints import Checkpoints, EarlyStop
    from .record import TrainingRecord
    from .run_folder import latest_checkpoint, latest_epoch
    from .saving import save_tensors
    from .start import start_run

__all__ = [
    "Checkpoints",
    "EarlyStop",
    "TrainingRecord",
    "latest_checkpoint",
    "latest_epoch",
    "save_tensors",
    "start_run",
]

__getattr__ = lazy_names(
    __name__,
    {
        "checkpoints": ["Checkpoints", "EarlyStop"],
        "record": ["TrainingRecord"],
        "run_folder": ["latest_checkpoint", "latest_epoch"],
        "saving": ["save_tensors"],
        "start": ["start_run"],
    },
)
