"""The HTML report on a cohort of label maps, or on a training."""

from typing import TYPE_CHECKING

from hybridseg.transforms.lazy import lazy_names

if TYPE_CHECKING:
    from .cohort import Cohort
    from .contents import Contents, describe_cohort, describe_training
    from .curves import Curve, read_curves
    from .page import render_page

__all__ = [
    "Cohort",
    "Contents",
    "Curve",
    "describe_cohort",
    "describe_training",
    "read_curves",
    "render_page",
]

__getattr__ = lazy_names(
    __name__,
    {
        "cohort": ["Cohort"],
        "contents": ["Contents", "describe_cohort", "describe_training"],
        "curves": ["Curve", "read_curves"],
        "page": ["render_page"],
    },
)
