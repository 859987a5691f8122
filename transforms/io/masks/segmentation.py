"""Segments of a DICOM Segmentation (PS3.3, A.51 and C.8.20), by pydicom: each frame is placed by its own position.

Binary and fractional segmentations and label maps are read. Frames may be any of the image's slices, in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.grid import LPS_TO_RAS
from hybridseg.transforms.io.dicom.elements import PIXEL_DATA
from hybridseg.transforms.io.header import VolumeHeader
from hybridseg.transforms.io.limits import check_memory

from .dicom_objects import required_numbers, sequence
from .placing import place_mask

if TYPE_CHECKING:
    from pydicom import Dataset

NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99")
"""Transfer syntaxes of little-endian pixel data that are not compressed."""

LABEL_MAP, FRACTIONAL = "LABELMAP", "FRACTIONAL"


class Segmentation:
    """The segments of a DICOM Segmentation.

    Args:
        path: the file.
        dataset: all its elements.

    Attributes:
        names: of the segments.

    Raises:
        VolumeError: its frames are not described, or need more memory than there is.
    """

    def __init__(self, path: Path, dataset: Dataset) -> None:
        self.path, self.dataset = path, dataset
        segments = sequence(dataset, "SegmentSequence")
        self.numbers = [int(segment.SegmentNumber) for segment in segments]
        self.names = [str(segment.get("SegmentLabel") or "").strip() for segment in segments]
        self.frames = sequence(dataset, "PerFrameFunctionalGroupsSequence")
        self.shared = sequence(dataset, "SharedFunctionalGroupsSequence")
        self.shape = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
        if len(self.frames) != int(dataset.get("NumberOfFrames") or 1) or not min(self.shape):
            found = f"{dataset.get('NumberOfFrames')} frames of {self.shape}, {len(self.frames)} described"
            raise VolumeError(path, found, "must describe each frame")
        bits = int(dataset.BitsAllocated)
        check_memory(path, self.shape[0] * self.shape[1] * max(1, bits // 8))
        self.is_label_map = str(dataset.get("SegmentationType")) == LABEL_MAP

    def mask(self, index: int, grid: VolumeHeader) -> NDArray[np.bool_]:
        """Return the mask (X, Y, Z) of a segment on a grid; a segment may have no voxels.

        Raises:
            VolumeError: a frame is not on the grid, or cannot be decoded.
        """
        number = self.numbers[index]
        mask = np.zeros(grid.spatial_shape, dtype=np.bool_)
        to_indices = np.linalg.inv(grid.affine) @ LPS_TO_RAS
        wanted = [frame for frame, groups in enumerate(self.frames) if self.shows(groups, number)]
        for frame, voxels in zip(wanted, self.decode(wanted), strict=True):
            plane = voxels == number if self.is_label_map else voxels >= self.threshold
            if not plane.any():
                continue
            affine = self.frame_affine(frame, to_indices)
            try:
                place_mask(plane.T[:, :, None], to_indices @ affine, mask)
            except ValueError as error:
                found, _, rule = str(error).partition(": ")
                raise VolumeError(self.path, f"frame {frame + 1} with {found}", rule) from error
        return mask

    @property
    def threshold(self) -> float:
        """The lowest value of a voxel that is in the segment: half of the greatest if it is fractional."""
        is_fractional = str(self.dataset.get("SegmentationType")) == FRACTIONAL
        return float(self.dataset.get("MaximumFractionalValue") or 1) / 2 if is_fractional else 1

    def shows(self, groups: Dataset, number: int) -> bool:
        """Return whether a frame, described by its functional groups, may show a segment."""
        if self.is_label_map:
            return True
        (segment,) = self.group(groups, "SegmentIdentificationSequence")
        return int(segment.ReferencedSegmentNumber) == number

    def group(self, groups: Dataset, name: str) -> list[Dataset]:
        """Return the item of a functional group of a frame, its own or shared by all."""
        found = sequence(groups, name) or [item for shared in self.shared for item in sequence(shared, name)]
        if len(found) != 1:
            raise VolumeError(self.path, f"a frame with {len(found)} {name}", "must have one")
        return found

    def frame_affine(self, frame: int, to_indices: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the affine (4, 4) from (column, row, 0) of a frame to LPS mm; its third step is that of the grid."""
        groups = self.frames[frame]
        (position,) = self.group(groups, "PlanePositionSequence")
        (orientation,) = self.group(groups, "PlaneOrientationSequence")
        (measures,) = self.group(groups, "PixelMeasuresSequence")
        directions = required_numbers(self.path, orientation, "ImageOrientationPatient", 6).reshape(2, 3)
        spacing = required_numbers(self.path, measures, "PixelSpacing", 2)[::-1]
        affine = np.eye(4)
        affine[:3, :2] = (directions * spacing[:, None]).T
        taken = np.abs(to_indices[:3, :3] @ affine[:3, :2]).argmax(axis=0)
        (free, *_) = [axis for axis in range(3) if axis not in taken]
        affine[:3, 2] = np.linalg.inv(to_indices)[:3, free]
        affine[:3, 3] = required_numbers(self.path, position, "ImagePositionPatient", 3)
        return affine

    def decode(self, frames: list[int]) -> Iterator[NDArray[Any]]:
        """Yield the voxels (rows, columns) of frames, one at a time.

        Raises:
            VolumeError: there are fewer voxels than the frames have.
            Exception: any of those that pydicom raises.
        """
        from pydicom.pixels import iter_pixels

        if int(self.dataset.BitsAllocated) > 1 or str(self.dataset.file_meta.TransferSyntaxUID) not in NATIVE:
            yield from iter_pixels(self.dataset, indices=frames)
            return
        content = np.frombuffer(self.dataset[PIXEL_DATA].value, np.uint8)
        size = self.shape[0] * self.shape[1]  # a frame of bits may begin within a byte, which pydicom 3.0 cannot read
        if len(content) * 8 < size * len(self.frames):
            found = f"pixel data of {len(content)} bytes for {len(self.frames)} frames of {self.shape}"
            raise VolumeError(self.path, found, "pixel data must be as long as the header says")
        for frame in frames:
            first, end = frame * size, (frame + 1) * size
            bits = np.unpackbits(content[first // 8 : -(-end // 8)], bitorder="little")
            yield bits[first % 8 : first % 8 + size].reshape(self.shape)
