"""What trainings need besides MONAI: handlers, checkpoints, the learning-rate schedule, the training step."""

from typing import TYPE_CHECKING

from hybridseg.app.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .annotated_loss import AnnotatedLoss
    from .average import AverageWeights, UpdateAverage
    from .checkpoints import Checkpoints, EarlyStop
    from .curves import Curves
    from .expected_end import ExpectedEnd, remaining_seconds
    from .finite import FiniteGradients
    from .handlers import BestModel, TrainingProgress
    from .idle import IdleTime
    from .metrics import TrainingMetrics
    from .prepared import PreparedDataset
    from .pretrained import load_pretrained
    from .record import TrainingRecord
    from .reproducibility import SeededDataset, SeededSampler, SeedEpochs
    from .run_folder import latest_checkpoint, latest_epoch
    from .schedule import warmup_cosine
    from .start import start_run
    from .step import Step

__all__ = [
    "AnnotatedLoss",
    "AverageWeights",
    "BestModel",
    "Checkpoints",
    "Curves",
    "EarlyStop",
    "ExpectedEnd",
    "FiniteGradients",
    "IdleTime",
    "PreparedDataset",
    "SeedEpochs",
    "SeededDataset",
    "SeededSampler",
    "Step",
    "TrainingMetrics",
    "TrainingProgress",
    "TrainingRecord",
    "UpdateAverage",
    "latest_checkpoint",
    "latest_epoch",
    "load_pretrained",
    "remaining_seconds",
    "start_run",
    "warmup_cosine",
]

__getattr__ = lazy_names(
    __name__,
    {
        "annotated_loss": ["AnnotatedLoss"],
        "average": ["AverageWeights", "UpdateAverage"],
        "checkpoints": ["Checkpoints", "EarlyStop"],
        "curves": ["Curves"],
        "expected_end": ["ExpectedEnd", "remaining_seconds"],
        "finite": ["FiniteGradients"],
        "handlers": ["BestModel", "TrainingProgress"],
        "idle": ["IdleTime"],
        "metrics": ["TrainingMetrics"],
        "prepared": ["PreparedDataset"],
        "pretrained": ["load_pretrained"],
        "record": ["TrainingRecord"],
        "reproducibility": ["SeededDataset", "SeededSampler", "SeedEpochs"],
        "run_folder": ["latest_checkpoint", "latest_epoch"],
        "schedule": ["warmup_cosine"],
        "start": ["start_run"],
        "step": ["Step"],
    },
)
