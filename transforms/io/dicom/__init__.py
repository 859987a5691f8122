"""Read DICOM series; write DICOM Segmentations and RT Structure Sets."""

from typing import TYPE_CHECKING

from hybridseg.transforms.lazy import lazy_names

if TYPE_CHECKING:
    from .reader import DicomReader
    from .series import DicomFolder, DicomSeries, open_series
    from .stored import is_dicom
    from .writing import write_segmentation, write_structure_set

__all__ = [
    "DicomFolder",
    "DicomReader",
    "DicomSeries",
    "is_dicom",
    "open_series",
    "write_segmentation",
    "write_structure_set",
]

__getattr__ = lazy_names(
    __name__,
    {
        "reader": ["DicomReader"],
        "series": ["DicomFolder", "DicomSeries", "open_series"],
        "stored": ["is_dicom"],
        "writing": ["write_segmentation", "write_structure_set"],
    },
)
