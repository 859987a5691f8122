"""Read DICOM series; write DICOM Segmentations and RT Structure Sets."""

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
