"""Read named masks as label maps: DICOM RTSTRUCT and Segmentation, and segmentations of 3D Slicer (`.seg.nrrd`)."""

from .contours import fill_contours
from .mask_file import MaskFile, MaskReader, is_mask_file
from .rois import Rois, check_rois, parse_rois

__all__ = ["MaskFile", "MaskReader", "Rois", "check_rois", "fill_contours", "is_mask_file", "parse_rois"]
