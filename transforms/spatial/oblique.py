"""Sample a grid at the voxels of another whose axes have any direction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .alignment import TOLERANCE


def sample_slabs(
    values: Tensor, mapping: NDArray[np.float64], shape: Sequence[int], voxels: int, *, nearest: bool = False
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Interpolate values at the voxels of an output grid, slab by slab along its first axis.

    Args:
        values: (C, D, H, W).
        mapping: (4, 4), output voxel indices to indices of the values.
        shape: (X, Y, Z), voxels of the output grid.
        voxels: most voxels of a slab, unless a single layer has more.
        nearest: take the nearest voxel instead of interpolating linearly.

    Yields:
        The n layers of a slab, where it is inside the values (n, Y, Z), and the interpolated values (C, n, Y, Z), those
        outside being meaningless; slabs that are wholly outside are skipped.
    """
    last = torch.tensor(values.shape[1:], dtype=torch.float64) - 1
    linear, offset = torch.from_numpy(mapping[:3, :3]), torch.from_numpy(mapping[:3, 3])
    layers = max(1, voxels // (shape[1] * shape[2]))
    for begin in range(0, shape[0], layers):
        rows = slice(begin, min(begin + layers, shape[0]))
        ranges = (torch.arange(rows.start, rows.stop), torch.arange(shape[1]), torch.arange(shape[2]))
        indices = torch.stack(torch.meshgrid(*ranges, indexing="ij"), dim=-1).double()  # (n, Y, Z, 3)
        position = indices @ linear.T + offset
        inside = ((position >= -0.5 - TOLERANCE) & (position <= last + 0.5 + TOLERANCE)).all(dim=-1)
        if not inside.any():
            continue
        position = position.clamp(torch.zeros(3), last)
        low, high = position[inside].amin(dim=0).floor(), position[inside].amax(dim=0).ceil()
        box = tuple(slice(int(start), int(stop) + 1) for start, stop in zip(low, high, strict=True))
        grid = 2 * (position - low) / (high - low).clamp(min=1) - 1
        grid = grid.flip(-1).float().to(values.device)  # grid_sample wants the last axis first
        sampled = functional.grid_sample(
            values[(slice(None), *box)][None].float(),
            grid[None],
            mode="nearest" if nearest else "bilinear",
            padding_mode="border",
            align_corners=True,
        )[0]
        yield rows, inside.to(values.device), sampled
