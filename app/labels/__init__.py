"""Label maps: read them, resample them, keep some labels, measure volumes and intensities."""

from typing import TYPE_CHECKING

from hybridseg.transforms.lazy import lazy_names

if TYPE_CHECKING:
    from .files import load_labels
    from .keep import keep_components, keep_labels
    from .label_maps import LabelMap, compact_labels, count_labels, mask_dice, resample_labels
    from .label_statistics import LabelStatistics

__all__ = [
    "LabelMap",
    "LabelStatistics",
    "compact_labels",
    "count_labels",
    "keep_components",
    "keep_labels",
    "load_labels",
    "mask_dice",
    "resample_labels",
]

__getattr__ = lazy_names(
    __name__,
    {
        "files": ["load_labels"],
        "keep": ["keep_components", "keep_labels"],
        "label_maps": ["LabelMap", "compact_labels", "count_labels", "mask_dice", "resample_labels"],
        "label_statistics": ["LabelStatistics"],  # the module shadows the function of its name
    },
)
