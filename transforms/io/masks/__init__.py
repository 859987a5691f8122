"""Read named masks as label maps: DICOM RTSTRUCT and Segmentation, and segmentations of 3D Slicer (`.seg.nrrd`)."""

from typing import TYPE_CHECKING

from hybridseg.transforms.lazy import lazy_names

if TYPE_CHECKING:
    from .contours import fill_contours
    from .mask_file import MaskFile, MaskReader, is_mask_file
    from .rois import Rois, check_rois, parse_rois

__all__ = ["MaskFile", "MaskReader", "Rois", "check_rois", "fill_contours", "is_mask_file", "parse_rois"]

__getattr__ = lazy_names(
    __name__,
    {
        "contours": ["fill_contours"],
        "mask_file": ["MaskFile", "MaskReader", "is_mask_file"],
        "rois": ["Rois", "check_rois", "parse_rois"],
    },
)
