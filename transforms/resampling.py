"""Resample images to a voxel size: what MONAI's Spacingd does by linear interpolation, but one axis after another.

Spacingd interpolates every voxel from eight others, in double precision and in a copy of the volume; most of what a CT
of 512 x 512 voxels costs to prepare goes there. Along single axes, the first step leaves out what is not needed.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import compute_shape_offset, zoom_affine
from monai.transforms import MapTransform
from monai.utils import MetaKeys
from torch import Tensor

from .alignment import Axis, place


class Resampled(MapTransform):
    """Give images (C, D, H, W) another voxel size, on the grid that Spacingd would give them.

    Args:
        keys: images, MetaTensors whose affine is in mm.
        spacing: voxel size along (D, H, W), in mm.
        allow_missing_keys: whether a case may lack some of the keys.
    """

    def __init__(self, keys: KeysCollection, spacing: Sequence[float], allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.spacing = tuple(spacing)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        resampled = dict(data)
        for key in self.key_iterator(resampled):
            image: MetaTensor = data[key]
            affine = np.asarray(image.affine.cpu(), dtype=np.float64)
            target = zoom_affine(affine, self.spacing, diagonal=False)
            shape, target[:3, 3] = compute_shape_offset(image.shape[1:], affine, target)
            step = np.linalg.inv(affine) @ target  # diagonal: the axes keep their directions
            axes = [
                place((step[axis, axis] * np.arange(size) + step[axis, 3]).clip(0, length - 1), axis, length)
                for axis, (size, length) in enumerate(zip(map(int, shape), image.shape[1:], strict=True))
            ]
            resampled[key] = MetaTensor(
                interpolate(image.as_tensor(), axes), meta={**image.meta, MetaKeys.AFFINE: target}
            )
        return resampled


def interpolate(image: Tensor, axes: Sequence[Axis]) -> Tensor:
    """Interpolate (C, D, H, W) along each axis, the one whose voxels are farthest apart in memory first."""
    order = sorted(range(3), key=lambda axis: -image.stride(1 + axis))
    values = image.permute(0, *(1 + axis for axis in order))
    for dim, axis in enumerate(order, start=1):
        values = axes[axis].interpolate(values, dim)
    return values.permute(0, *(1 + order.index(axis) for axis in range(3))).contiguous()
