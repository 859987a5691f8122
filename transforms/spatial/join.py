"""Join channels that are on grids of their own: each is interpolated once, from its own grid to the network's."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from monai.utils import ImageMetaKey, MetaKeys
from numpy.typing import NDArray
from torch import Tensor

from hybridseg.transforms.io.load import elsewhere

from .alignment import AlignedAxis, align_axes
from .oblique import sample_slabs
from .resample import interpolate

SLAB_VOXELS = 1 << 20
"""Voxels of an oblique grid that are interpolated at once."""

OF_THE_FILE = (MetaKeys.ORIGINAL_AFFINE, MetaKeys.SPATIAL_SHAPE, MetaKeys.SPACE, ImageMetaKey.FILENAME_OR_OBJ)
"""Metadata that say on which grid results are written."""


class JoinChannelsd(Transform):
    """Resample the channels that `LoadVolumed` kept apart onto the grid of `image`, and join all in their order.

    A label map that it kept apart is resampled by nearest neighbour. A case whose volumes share a grid passes
    unchanged.

    Args:
        image: key of the image; the other channels are `<image>_1` and so on.
        label: key of the label map; one on another grid is `<label>_0`.
        air: intensity of each channel outside its own volume; None for the lowest of its voxels.
        grid_of: the channel whose file gives the grid on which results are written.
    """

    def __init__(self, image: str, label: str, *, air: Sequence[float | None], grid_of: int = 0) -> None:
        if not 0 <= grid_of < len(air):
            raise ValueError(f"grid_of: {grid_of}: must be the number of a channel, 0 to {len(air) - 1}")
        self.image = image
        self.label = label
        self.air = tuple(air)
        self.grid_of = grid_of

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        case = dict(data)
        image: MetaTensor = case[self.image]
        shape, affine = image.shape[1:], np.asarray(image.affine.cpu(), dtype=np.float64)
        apart: list[MetaTensor] = [
            case.pop(name)
            for name in (elsewhere(self.image, index) for index in range(1, len(self.air)))
            if name in case
        ]
        if apart:
            resampled = [
                resample_onto(channel, shape, affine, outside=float(channel.min()) if air is None else air)
                for channel, air in zip(apart, self.air[1:], strict=True)
            ]
            target = [image, *apart][self.grid_of].meta
            meta = {**image.meta, **{key: target[key] for key in OF_THE_FILE}}
            case[self.image] = MetaTensor(torch.cat([image.as_tensor(), *resampled]), meta=meta)
        if (other := elsewhere(self.label)) in case:
            label: MetaTensor = case.pop(other)
            values = resample_onto(label, shape, affine, outside=0.0, nearest=True)
            case[self.label] = MetaTensor(values, meta={**label.meta, MetaKeys.AFFINE: affine})
        return case


def resample_onto(
    volume: MetaTensor, shape: Sequence[int], affine: NDArray[np.float64], *, outside: float, nearest: bool = False
) -> Tensor:
    """Interpolate a volume at the voxels of another grid.

    Args:
        volume: (C, D, H, W), with an affine in mm.
        shape: (X, Y, Z), voxels of the other grid.
        affine: (4, 4), its voxel indices to mm.
        outside: value of voxels whose centre is outside the volume, which ends half a voxel beyond its border voxels.
        nearest: take the nearest voxel, as for label maps, instead of interpolating linearly.

    Returns:
        (C, X, Y, Z), float32.
    """
    values = volume.as_tensor()
    mapping = np.linalg.inv(np.asarray(volume.affine.cpu(), dtype=np.float64)) @ affine
    result = values.new_full((len(values), *shape), outside, dtype=torch.float32)
    axes = align_axes(mapping, values.shape[1:], shape)
    if axes is None:
        for rows, inside, sampled in sample_slabs(values, mapping, shape, SLAB_VOXELS, nearest=nearest):
            result[:, rows] = sampled.where(inside, result[:, rows])
        return result
    sources = [axis.source for axis in axes]
    turned = values.permute(0, *(1 + source for source in sources))
    placed = [on_voxels(axis) if nearest else axis for axis in axes]
    first, second, third = (axis.inside for axis in axes)
    result[:, first, second, third] = interpolate(turned, placed)
    return result


def on_voxels(axis: AlignedAxis) -> AlignedAxis:
    """Move the positions along an axis to the nearest voxels."""
    if axis.weight is None:
        return axis
    closest = axis.lower.where(axis.weight < 0.5, axis.upper)
    return AlignedAxis(axis.source, axis.inside, lower=closest, upper=closest, weight=None)
