"""Resample images to a voxel size: what MONAI's Spacingd does by linear interpolation, but one axis after another.

Spacingd interpolates every voxel from eight others, in double precision and in a copy of the volume; most of what a CT
of 512 x 512 voxels costs to prepare goes there. Along single axes, the first step leaves out what is not needed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import ImageMetaKey, MetaKeys
from torch import Tensor

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.grid import format_lengths, voxel_lengths

from .alignment import AlignedAxis, place

MOST_VOXELS = 1 << 30
"""Of a resampled volume: half a metre at half a millimetre. Beyond, a header is wrong, or nothing fits into memory."""


class Resampled(MapTransform):
    """Give volumes (C, D, H, W) another voxel size along their own axes, beginning at the same voxel.

    The grid of Spacingd is another where a volume is oblique, by up to half a slice, which leaves the outermost slice
    out, or sheared, when its axes have other directions.

    Args:
        keys: volumes, MetaTensors whose affine is in mm.
        spacing: voxel size along (D, H, W), in mm.
        nearest: keys of label maps, whose voxels are chosen and not interpolated.
        allow_missing_keys: whether a case may lack some of the keys.

    Raises:
        VolumeError: when called with a volume that would have more voxels than any patient needs.
    """

    def __init__(
        self,
        keys: KeysCollection,
        spacing: Sequence[float],
        nearest: Collection[Hashable] = (),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.spacing = np.asarray(spacing, dtype=np.float64)
        self.nearest = frozenset(nearest)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        resampled = dict(data)
        for key in self.key_iterator(resampled):
            volume: MetaTensor = data[key]
            affine = np.asarray(volume.affine.cpu(), dtype=np.float64)
            steps = self.spacing / voxel_lengths(affine)  # voxels of the volume from one new voxel to the next
            sizes = [1 + round((length - 1) / step) for step, length in zip(steps, volume.shape[1:], strict=True)]
            if math.prod(sizes) > MOST_VOXELS:
                where = volume.meta.get(ImageMetaKey.FILENAME_OR_OBJ, key)
                told = f"{' x '.join(map(str, sizes))} voxels at {format_lengths(self.spacing)} mm"
                raise VolumeError(str(where), told, f"must be at most {MOST_VOXELS}")
            axes = []
            for axis, (step, length) in enumerate(zip(steps, volume.shape[1:], strict=True)):
                position = (step * np.arange(sizes[axis])).clip(0, length - 1)
                axes.append(place(position.round() if key in self.nearest else position, axis, length))
            target = affine @ np.diag([*steps, 1])
            resampled[key] = MetaTensor(
                interpolate(volume.as_tensor(), axes), meta={**volume.meta, MetaKeys.AFFINE: target}
            )
        return resampled


def interpolate(image: Tensor, axes: Sequence[AlignedAxis]) -> Tensor:
    """Interpolate (C, D, H, W) along each axis, the one whose voxels are farthest apart in memory first."""
    order = sorted(range(3), key=lambda axis: -image.stride(1 + axis))
    values = image.permute(0, *(1 + axis for axis in order))
    for dim, axis in enumerate(order, start=1):
        values = axes[axis].interpolate(values, dim)
    return values.permute(0, *(1 + order.index(axis) for axis in range(3))).contiguous()
