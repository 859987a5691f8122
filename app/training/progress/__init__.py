"""What a training shows: a line for each epoch, curves, pictures, trackers of experiments."""

from typing import TYPE_CHECKING

from hybridseg.transforms.lazy import lazy_names

if TYPE_CHECKING:
    from .curves import Curves
    from .log import TrainingProgress
    from .metrics import TrainingMetrics
    from .trackers import check_trackers

__all__ = [
    "Curves",
    "TrainingMetrics",
    "TrainingProgress",
    "check_trackers",
]

__getattr__ = lazy_names(
    __name__,
    {
        "curves": ["Curves"],
        "log": ["TrainingProgress"],
        "metrics": ["TrainingMetrics"],
        "trackers": ["check_trackers"],
    },
)
