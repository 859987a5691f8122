"""Read DICOM series, write DICOM Segmentation objects."""

from .reader import DicomReader
from .segmentation import write_segmentation
from .series import DicomFolder, DicomSeries, open_series
from .stored import is_dicom

__all__ = ["DicomFolder", "DicomReader", "DicomSeries", "is_dicom", "open_series", "write_segmentation"]
