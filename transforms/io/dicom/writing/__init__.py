"""Write what was segmented in a DICOM series: DICOM Segmentation and RT Structure Set."""

from .segmentation import write_segmentation
from .structure_set import write_structure_set

__all__ = ["write_segmentation", "write_structure_set"]
