"""What trainings need besides MONAI: handlers, checkpoints, the learning-rate schedule, the training step."""

from typing import TYPE_CHECKING

from hybridseg.app.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .checkpoints import Checkpoints, EarlyStop, run_seed
    from .handlers import BestModel, TrainingProgress
    from .pretrained import load_pretrained
    from .run_folder import latest_checkpoint, latest_epoch
    from .schedule import warmup_cosine
    from .step import Step

__all__ = [
    "BestModel",
    "Checkpoints",
    "EarlyStop",
    "Step",
    "TrainingProgress",
    "latest_checkpoint",
    "latest_epoch",
    "load_pretrained",
    "run_seed",
    "warmup_cosine",
]

__getattr__ = lazy_names(
    __name__,
    {
        "checkpoints": ["Checkpoints", "EarlyStop", "run_seed"],
        "handlers": ["BestModel", "TrainingProgress"],
        "pretrained": ["load_pretrained"],
        "run_folder": ["latest_checkpoint", "latest_epoch"],
        "schedule": ["warmup_cosine"],
        "step": ["Step"],
    },
)
