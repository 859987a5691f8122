"""Read DICOM series; write DICOM Segmentations and RT Structure Sets."""

from .reader import DicomReader
from .segmentation import write_segmentation
from .series import DicomFolder, DicomSeries, open_series
from .stored import is_dicom
from .structure_set import write_structure_set

__all__ = [
    "DicomFolder",
    "DicomReader",
    "DicomSeries",
    "is_dicom",
    "open_series",
    "write_segmentation",
    "write_structure_set",
]
