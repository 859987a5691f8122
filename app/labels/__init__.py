"""Label maps in memory and in files: volumes, intensities, which labels to keep."""

from typing import TYPE_CHECKING

from hybridseg.app.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .files import load_labels
    from .keep import keep_labels, keep_largest_components
    from .label_maps import compact_labels, resample_labels

__all__ = [
    "compact_labels",
    "keep_labels",
    "keep_largest_components",
    "load_labels",
    "resample_labels",
]

__getattr__ = lazy_names(
    __name__,
    {
        "files": ["load_labels"],
        "keep": ["keep_labels", "keep_largest_components"],
        "label_maps": ["compact_labels", "resample_labels"],
    },
)
