"""What trainings need besides MONAI: handlers, checkpoints, the learning-rate schedule, the training step."""

from typing import TYPE_CHECKING

from hybridseg.transforms.lazy import lazy_names

if TYPE_CHECKING:
    from .annotated_loss import AnnotatedLoss
    from .average import AverageWeights, UpdateAverage
    from .best_model import BestModel
    from .finite import FiniteGradients
    from .prepared import PreparedDataset
    from .pretrained import load_pretrained
    from .progress import Curves, TrainingMetrics, TrainingProgress
    from .reproducibility import SeededDataset, SeededSampler, SeedEpochs
    from .run import Checkpoints, EarlyStop, TrainingRecord, latest_checkpoint, latest_epoch, start_run
    from .schedule import warmup_cosine
    from .step import Step

__all__ = [
    "AnnotatedLoss",
    "AverageWeights",
    "BestModel",
    "Checkpoints",
    "Curves",
    "EarlyStop",
    "FiniteGradients",
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
    "start_run",
    "warmup_cosine",
]

__getattr__ = lazy_names(
    __name__,
    {
        "annotated_loss": ["AnnotatedLoss"],
        "average": ["AverageWeights", "UpdateAverage"],
        "best_model": ["BestModel"],
        "finite": ["FiniteGradients"],
        "prepared": ["PreparedDataset"],
        "pretrained": ["load_pretrained"],
        "progress": ["Curves", "TrainingMetrics", "TrainingProgress"],
        "reproducibility": ["SeededDataset", "SeededSampler", "SeedEpochs"],
        "run": ["Checkpoints", "EarlyStop", "TrainingRecord", "latest_checkpoint", "latest_epoch", "start_run"],
        "schedule": ["warmup_cosine"],
        "step": ["Step"],
    },
)
