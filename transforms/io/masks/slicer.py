"""Segments of a segmentation of 3D Slicer (`.seg.nrrd`), whose header names them.

`Segment0_Name` and so on are Slicer's fields (slicer.org, developer guide, segmentations). Segments that overlap are in
layers, the components of a voxel. Slicer before 4.11 gave each segment a layer, without the value of its voxels.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.checks import check_header
from hybridseg.transforms.io.header import VolumeHeader, unreadable_is_volume_error
from hybridseg.transforms.io.itk import SimpleITKReader, read_itk_header
from hybridseg.transforms.io.limits import check_memory, loading_bytes

from .placing import place_mask

NAME_FIELD = re.compile(r"Segment(\d+)_Name")


class SlicerSegmentation:
    """The segments of a `.seg.nrrd`.

    Args:
        path: the file.

    Attributes:
        names: of the segments.

    Raises:
        VolumeError: it cannot be read, or names no segments.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with unreadable_is_volume_error(path):
            header = read_itk_header(path)
            check_header(path, header, channels=header.channel_axes[0] if header.channel_axes else 1)
            check_memory(path, loading_bytes(header))
            reader = SimpleITKReader()
            image: sitk.Image = reader.read(path)
            voxels, _ = reader.get_data(image)
        fields = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
        found = sorted(int(match[1]) for match in map(NAME_FIELD.fullmatch, fields) if match)
        if not found:
            raise VolumeError(path, "no segments with names", "must have Segment0_Name and so on in its header")
        self.affine = header.affine
        self.layers = voxels if voxels.ndim == 4 else voxels[..., None]
        self.names = [fields[f"Segment{index}_Name"].strip() for index in found]
        layers = [_number(path, fields, f"Segment{index}_Layer", index) for index in found]
        values = [_number(path, fields, f"Segment{index}_LabelValue", 0) for index in found]
        self.places = list(zip(layers, values, strict=True))
        if max(layers) >= self.layers.shape[3]:
            raise VolumeError(path, f"a segment in layer {max(layers)}", f"there are {self.layers.shape[3]}, from 0")

    def mask(self, index: int, grid: VolumeHeader) -> NDArray[np.bool_]:
        """Return the mask (X, Y, Z) of a segment on a grid; a segment may have no voxels.

        Raises:
            VolumeError: the voxels are not those of the grid.
        """
        layer, value = self.places[index]
        voxels = self.layers[..., layer]
        mask = np.zeros(grid.spatial_shape, dtype=np.bool_)
        try:
            place_mask(voxels == value if value else voxels != 0, np.linalg.inv(grid.affine) @ self.affine, mask)
        except ValueError as error:
            found, _, rule = str(error).partition(": ")
            raise VolumeError(self.path, found, rule) from error
        return mask


def _number(path: Path, fields: dict[str, str], name: str, otherwise: int) -> int:
    """Return the number in a field of the header, or another if it lacks the field."""
    text = fields.get(name, str(otherwise)).strip()
    if not text.isdecimal():
        raise VolumeError(path, f"{name} {text!r}", "must be a number")
    return int(text)
