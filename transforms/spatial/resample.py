"""Resample images to a voxel size by linear interpolation, as MONAI's Spacingd, but one axis at a time.

Spacingd interpolates every voxel from eight others, in double precision and on a copy of the volume, which takes most
of the preprocessing time of a CT of 512 x 512 voxels. Along single axes, the first step already drops the voxels that
are not needed.
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
"""Limit of a resampled volume: half a metre at half a millimetre. Beyond, the header is wrong or memory too small."""


class Resampled(MapTransform):
    """Resample volumes (C, D, H, W) to another voxel size along their own axes, starting at the same first voxel.

    The grid differs from Spacingd's for oblique volumes, by up to half a slice, where Spacingd drops the outermost
    slice, and for sheared ones, where Spacingd changes the directions of the axes.

    Args:
        keys: volumes, MetaTensors with an affine in mm.
        spacing: voxel size along (D, H, W), in mm.
        nearest: keys of label maps, resampled by nearest neighbour.
        allow_missing_keys: skip keys that a case lacks.

    Raises:
        VolumeError: when called with a volume that would have more than `MOST_VOXELS` voxels.
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
                found = f"{' x '.join(map(str, sizes))} voxels at {format_lengths(self.spacing)} mm"
                raise VolumeError(str(where), found, f"must be at most {MOST_VOXELS}")
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
    """Interpolate (C, D, H, W) along each axis, the one with the largest stride in memory first."""
    order = sorted(range(3), key=lambda axis: -image.stride(1 + axis))
    values = image.permute(0, *(1 + axis for axis in order))
    for dim, axis in enumerate(order, start=1):
        values = axes[axis].interpolate(values, dim)
    return values.permute(0, *(1 + order.index(axis) for axis in range(3))).contiguous()
