"""Interpolate logits at the voxels of an output grid whose axes are parallel to those of the network's grid.

Shapes: K classes; (D, H, W) the network's grid; (A, B, C) the network's grid with its axes in the order of the
output's; (X, Y, Z) the output's grid, of which a slab has n of the X layers.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .alignment import Axes


def disputed(winner: Tensor, axes: Axes) -> Tensor | None:
    """Mask where labels (A, B, C) differ from the next along interpolated axes; None if no axis is interpolated."""
    least = most = winner
    for dim, axis in enumerate(axes):
        if axis.weight is not None:
            following = torch.arange(1, winner.shape[dim] + 1, device=winner.device).clamp(max=winner.shape[dim] - 1)
            least = torch.minimum(least, least.index_select(dim, following))
            most = torch.maximum(most, most.index_select(dim, following))
    return None if most is winner else least != most


def nearest(values: Tensor, axes: Axes, part: slice) -> Tensor:
    """Return the values (A, B, C) at the network voxel at or before each voxel of a slab (n, Y, Z)."""
    first, second, third = axes
    values = values.index_select(0, first.lower[part])
    return values.index_select(2, third.lower).index_select(1, second.lower)


def everywhere(logits: Tensor, axes: Axes, part: slice) -> Iterator[Tensor]:
    """Interpolate logits (K, D, H, W) axis by axis at all voxels of a slab; yield (n, Z, Y) for each class."""
    first, second, third = axes
    for channel in logits.permute(0, *(1 + axis.source for axis in axes)):  # (A, B, C)
        values = first.interpolate(channel, 0, part)  # (n, B, C)
        values = second.interpolate(values, 1)  # (n, Y, C)
        # Transposed, whole rows of Y are gathered; along the last dimension, it would be single voxels.
        yield third.interpolate(values.transpose(1, 2).contiguous(), 1)


def at_points(logits: Tensor, axes: Axes, points: tuple[Tensor, Tensor, Tensor]) -> Iterator[Tensor]:
    """Interpolate logits (K, D, H, W) at P output voxels from the network voxels around; yield (P,) for each class."""
    corners = [(torch.zeros_like(points[0]), torch.ones(len(points[0]), device=logits.device))]
    for axis, point in zip(axes, points, strict=True):
        step = logits.shape[2:][axis.source :].numel()
        lower, upper = axis.lower[point] * step, axis.upper[point] * step
        weight = None if axis.weight is None else axis.weight[point]
        corners = [
            (index + place, share if part is None else share * part)
            for index, share in corners
            for place, part in ([(lower, None)] if weight is None else [(lower, 1 - weight), (upper, weight)])
        ]
    for channel in logits:
        voxels = channel.reshape(-1)
        result = torch.zeros_like(corners[0][1])
        for index, share in corners:
            result.addcmul_(voxels.index_select(0, index).float(), share)
        yield result
