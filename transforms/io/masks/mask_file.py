"""A file of named masks as a label map on the grid of an image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from monai.data import ImageReader
from numpy.typing import NDArray

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.grid import label_dtype
from hybridseg.transforms.io.dicom.elements import quiet_pydicom
from hybridseg.transforms.io.dicom.stored import is_dicom
from hybridseg.transforms.io.header import VolumeHeader, unreadable_is_volume_error
from hybridseg.transforms.io.metadata import volume_metadata
from hybridseg.transforms.io.names import SLICER_EXTENSION, volume_extension

from .dicom_objects import MASK_CLASSES, RTSTRUCT, read_elements, read_pixels, reading
from .rois import Rois, match_rois
from .rtstruct import StructureSet
from .segmentation import Segmentation
from .slicer import SlicerSegmentation


@dataclass(frozen=True)
class MaskFile(os.PathLike[str]):
    """A file of named masks, and the labels of the names.

    Args:
        path: an RTSTRUCT, a DICOM Segmentation, or a segmentation of 3D Slicer (`.seg.nrrd`).
        rois: labels by pattern of names.
        image: the image on whose grid the masks are put, unless they are loaded together with another.
    """

    path: Path
    rois: Rois = field(default_factory=dict)
    image: PathLike | None = field(default=None, compare=False)

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __str__(self) -> str:
        return str(self.path)


class NamedMasks(Protocol):
    """Masks with names."""

    @property
    def names(self) -> Sequence[str]:
        """Their names."""
        ...

    def mask(self, index: int, grid: VolumeHeader) -> NDArray[np.bool_]:
        """Return a mask (X, Y, Z) on a grid."""
        ...


class MaskReader(ImageReader):
    """Reads a file of named masks as labels on the grid of an image; of two masks that overlap, the later label wins.

    Args:
        file: the file and the labels of its masks.
        grid: header of the image.
    """

    def __init__(self, file: MaskFile, grid: VolumeHeader) -> None:
        self.file, self.grid = file, grid
        self.dtype = label_dtype(max(file.rois.values(), default=0))

    @property
    def header(self) -> VolumeHeader:
        """The header that a label map on that grid would have."""
        shape = self.grid.spatial_shape
        return VolumeHeader(
            shape=shape,
            voxel_type=self.dtype.__name__,
            is_numeric=True,
            affine=self.grid.affine,
            voxel_bytes=int(np.prod(shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize,
            capacity=None,
        )

    def verify_suffix(self, filename: Any) -> bool:
        """Return True: the file was chosen by its content."""
        return True

    def read(self, data: Any, **kwargs: Any) -> NDArray[np.integer]:
        """Return the labels (X, Y, Z); `data`, the path that MONAI passes, is ignored.

        Raises:
            VolumeError: the file cannot be read, none of its masks matches a pattern, or one is not on the grid.
        """
        masks = open_masks(self.file.path)
        labels = np.zeros(self.grid.spatial_shape, self.dtype)
        with unreadable_is_volume_error(self.file.path), quiet_pydicom():
            for label, indices in match_rois(self.file.path, masks.names, self.file.rois):
                for index in indices:
                    labels[masks.mask(index, self.grid)] = label
        return labels

    def get_data(self, img: NDArray[np.integer]) -> tuple[NDArray[np.integer], dict[str, Any]]:
        """Return labels (X, Y, Z) and the metadata that MONAI expects."""
        return img, volume_metadata(img, self.grid.affine)


def is_mask_file(path: PathLike) -> bool:
    """Return whether a file may be one of named masks: DICOM, or `.seg.nrrd` by its name."""
    path = Path(path)
    return path.name.lower().endswith(SLICER_EXTENSION) or (not volume_extension(path) and is_dicom(path))


def open_masks(path: Path) -> NamedMasks:
    """Read the names of the masks of a file.

    Raises:
        VolumeError: it cannot be read, or has none.
    """
    if path.name.lower().endswith(SLICER_EXTENSION):
        return SlicerSegmentation(path)
    if not path.is_file():
        raise VolumeError(path, "not a file", "must be a file that exists")
    with reading(path) as stream:
        dataset = read_elements(path, stream)
        sop_class = str(dataset.get("SOPClassUID") or "")
        if sop_class not in MASK_CLASSES:
            found = f"SOP class {sop_class!r}"
            raise VolumeError(path, found, "must be an RTSTRUCT or a DICOM Segmentation")
        return StructureSet(path, dataset) if sop_class == RTSTRUCT else Segmentation(path, read_pixels(stream))
