"""ROIs of a DICOM RT Structure Set (PS3.3, C.8.8.5 and C.8.8.6)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.header import VolumeHeader

from .contours import Contour, fill_contours
from .dicom_objects import numbers, sequence

if TYPE_CHECKING:
    from pydicom import Dataset

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
"""Types of contours that enclose something."""

POINT = "POINT"


class StructureSet:
    """The ROIs of an RTSTRUCT that have contours.

    Args:
        path: the file, for errors.
        dataset: its elements.

    Attributes:
        names: of the ROIs.

    Raises:
        VolumeError: it has no ROI with contours, or two of one number.
    """

    def __init__(self, path: Path, dataset: Dataset) -> None:
        self.path = path
        rois = [(int(roi.ROINumber), roi) for roi in sequence(dataset, "StructureSetROISequence")]
        contours = [(int(roi.ReferencedROINumber), roi) for roi in sequence(dataset, "ROIContourSequence")]
        for items in (rois, contours):
            if twice := len(items) - len(dict(items)):
                raise VolumeError(path, f"{twice} ROIs with the number of another", "each must have its own number")
        names = {number: str(roi.get("ROIName") or "") for number, roi in rois}
        drawn = {number: roi for number, roi in contours if roi.get("ContourSequence")}
        self.numbers = [number for number in names if number in drawn]
        self.names = [names[number] for number in self.numbers]
        self.drawn = drawn
        if not self.numbers:
            raise VolumeError(path, f"{len(names)} ROIs, none with contours", "must have contours")

    def contours(self, index: int) -> list[Contour]:
        """Return the closed contours of a ROI.

        Raises:
            VolumeError: a contour is open, or its points are incomplete.
        """
        contours = []
        for item in sequence(self.drawn[self.numbers[index]], "ContourSequence"):
            kind, values = str(item.get("ContourGeometricType") or ""), numbers(item, "ContourData")
            name = self.names[index]
            if kind != POINT and kind not in CLOSED:
                rule = f"must be {' or '.join(CLOSED)}"
                raise VolumeError(self.path, f"ROI {name!r} with a contour of type {kind or 'unknown'}", rule)
            if len(values) % 3:
                found = f"ROI {name!r} with a contour of {len(values)} coordinates"
                raise VolumeError(self.path, found, "must be three for each point")
            stated = int(item.get("NumberOfContourPoints") or len(values) // 3)
            if stated != len(values) // 3:
                found = f"ROI {name!r} with a contour of {len(values) // 3} points"
                raise VolumeError(self.path, found, f"must be {stated}, as NumberOfContourPoints says")
            if kind != POINT:
                contours.append(values.reshape(-1, 3))
        return contours

    def mask(self, index: int, grid: VolumeHeader) -> NDArray[np.bool_]:
        """Return the mask (X, Y, Z) of a ROI on a grid.

        Raises:
            VolumeError: see `contours` and `fill_contours`, or no voxel's centre is inside.
        """
        contours = self.contours(index)
        try:
            mask = fill_contours(contours, grid.spatial_shape, grid.affine)
        except ValueError as error:
            found, _, rule = str(error).partition(": ")
            raise VolumeError(self.path, f"ROI {self.names[index]!r} with {found}", rule) from error
        if not mask.any():
            found = f"ROI {self.names[index]!r} with {len(contours)} closed contours but no voxels"
            raise VolumeError(self.path, found, "must enclose the centre of a voxel of the image")
        return mask
