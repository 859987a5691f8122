"""Align a grid with the axes of another that is a permuted, flipped, shifted and scaled version of it.

`Orientation`, `CropForeground` and `Spacing` change a grid in this way, oblique or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hybridseg.transforms.grid import farthest_corner

TOLERANCE = 1e-3
"""Largest deviation of a position from a voxel's centre, an aligned axis or the border, in voxels of the network."""


@dataclass(frozen=True)
class AlignedAxis:
    """An axis of the output that is parallel to an axis of the network's grid.

    Args:
        source: the axis of the network's grid, 0 to 2.
        inside: the N output voxels that lie in the network's grid.
        lower: (N,) index of the network voxel at or before each.
        upper: (N,) index of the next network voxel.
        weight: (N,) weight of the next one; None if every output voxel is on a network voxel.
    """

    source: int
    inside: slice
    lower: Tensor
    upper: Tensor
    weight: Tensor | None

    def interpolate(self, values: Tensor, dim: int, part: slice = slice(None)) -> Tensor:
        """Interpolate values along a dimension, in float32, at a part of the N output voxels."""
        lower = values.index_select(dim, self.lower[part]).float()
        if self.weight is None:
            return lower
        upper = values.index_select(dim, self.upper[part]).float()
        return lower.lerp_(upper, self.weight[part].reshape(-1, *[1] * (values.ndim - dim - 1)))


Axes = tuple[AlignedAxis, AlignedAxis, AlignedAxis]
"""The axes X, Y, Z of an output grid."""


def align_axes(
    mapping: NDArray[np.float64], size: Sequence[int], shape: Sequence[int], device: torch.device | None = None
) -> Axes | None:
    """Express the three axes of an output grid by the axes of the network's grid.

    Args:
        mapping: (4, 4), output voxel indices to network voxel indices.
        size: (D, H, W), voxels of the network's grid.
        shape: (X, Y, Z), voxels of the output's grid.
        device: device of the indices and weights.

    Returns:
        An axis for each of X, Y, Z; None if they are not parallel to the axes of the network's grid.
    """
    sources = np.abs(mapping[:3, :3]).argmax(axis=0)
    aligned = np.zeros((4, 4))
    aligned[sources, range(3)] = mapping[sources, range(3)]
    aligned[:, 3] = mapping[:, 3]
    if len(set(sources)) < 3 or farthest_corner(mapping, aligned, shape) > TOLERANCE:
        return None

    def axis(output: int) -> AlignedAxis:
        source = int(sources[output])
        position = aligned[source, output] * np.arange(shape[output]) + aligned[source, 3]
        return place(position, source, size[source], device)

    return axis(0), axis(1), axis(2)


def place(position: NDArray[np.float64], source: int, size: int, device: torch.device | None = None) -> AlignedAxis:
    """Turn the positions of output voxels along one axis into indices and weights.

    Args:
        position: (X,) positions of all output voxels, in network voxels.
        source: axis of the network's grid.
        size: voxels of the network's grid along it.
        device: device of the indices and weights.
    """
    inside = np.flatnonzero((position >= -0.5 - TOLERANCE) & (position <= size - 0.5 + TOLERANCE))
    start, stop = (inside[0], inside[-1] + 1) if len(inside) else (0, 0)
    position = position[start:stop].clip(0, size - 1)
    is_exact = bool((np.abs(position - position.round()) <= TOLERANCE).all())
    lower = position.round() if is_exact else np.floor(position)
    return AlignedAxis(
        source,
        slice(int(start), int(stop)),
        lower=torch.as_tensor(lower, dtype=torch.int64, device=device),
        upper=torch.as_tensor((lower + 1).clip(max=size - 1), dtype=torch.int64, device=device),
        weight=None if is_exact else torch.as_tensor(position - lower, dtype=torch.float32, device=device),
    )
