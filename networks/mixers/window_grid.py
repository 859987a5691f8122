"""The geometry of 3D shifted windows: partition and merge of a feature map, attention masks, relative offsets.

Follows Swin (Liu et al. 2021, https://arxiv.org/abs/2103.14030, figures 2 and 4). Deviations: windows are balanced to
the map, so that padding is minimal, and relative offsets are looked up by their distance in voxels, so that the bias is
right for any window size.

    size     voxels of the map along (D, H, W)
    window   voxels of one window along (D, H, W), N in total
    count    windows along each axis, M in total
    padded   window * count, at least size
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from operator import mul
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from hybridseg.networks.validation import Triple, each_axis

DEPTH, HEIGHT, WIDTH = 0, 1, 2
Made = TypeVar("Made")


@dataclass(frozen=True)
class WindowGrid:
    """A map of `size` voxels, partitioned into `count` windows of `window` voxels after a cyclic shift by `shift`."""

    size: Triple
    window: Triple
    count: Triple
    shift: Triple

    @property
    def padded(self) -> Triple:
        """Voxels of the map with its padding at the far end of each axis."""
        return each_axis(mul, self.window, self.count)

    def partition(self, tokens: Tensor) -> Tensor:
        """Pad `tokens` (B, D, H, W, C) with zeros, shift them, and partition them into windows (B, M, N, C)."""
        padding = [entry for axis in (WIDTH, HEIGHT, DEPTH) for entry in (0, self.padded[axis] - self.size[axis])]
        tokens = functional.pad(tokens, (0, 0, *padding)) if any(padding) else tokens
        tokens = torch.roll(tokens, [-shift for shift in self.shift], dims=(1, 2, 3)) if any(self.shift) else tokens
        for axis in (WIDTH, HEIGHT, DEPTH):
            tokens = tokens.unflatten(1 + axis, (self.count[axis], self.window[axis]))
        windows = tokens.permute(0, 1, 3, 5, 2, 4, 6, 7)  # (B, windows along each axis, voxels along each axis, C)
        return windows.flatten(4, 6).flatten(1, 3)

    def merge(self, windows: Tensor) -> Tensor:
        """Merge `windows` (B, M, N, C) into tokens (B, D, H, W, C): the inverse of `partition`."""
        windows = windows.unflatten(2, self.window).unflatten(1, self.count)
        tokens = windows.permute(0, 1, 4, 2, 5, 3, 6, 7)  # (B, window and voxel within it along each axis, C)
        for axis in (DEPTH, HEIGHT, WIDTH):
            tokens = tokens.flatten(1 + axis, 2 + axis)
        tokens = torch.roll(tokens, self.shift, dims=(1, 2, 3)) if any(self.shift) else tokens
        depth, height, width = self.size
        return tokens[:, :depth, :height, :width]

    def window_numbers(self) -> Tensor:
        """Number the voxels of the map (D, H, W) by window, on the CPU: two attend to each other if equal."""
        number = torch.zeros(1, 1, 1, dtype=torch.long)
        for axis, (size, window, shift) in enumerate(zip(self.size, self.window, self.shift, strict=True)):
            along = (torch.arange(size) - shift).div(window, rounding_mode="floor") + (shift > 0)
            shape = [-1 if axis == other else 1 for other in range(3)]
            number = number * (int(along.max()) + 1) + along.view(shape)
        return number


@lru_cache(maxsize=256)
def window_grid(size: Triple, largest: Triple, shifted: bool) -> WindowGrid:
    """Balance windows to a map.

    An axis of n voxels has k = ceil(n / w) windows of ceil(n / k) voxels, where w is the most a window may have. An
    axis with one window is not shifted: all its tokens attend to each other anyway.

    Args:
        size: voxels of the map along (D, H, W).
        largest: voxels of the largest window along (D, H, W).
        shifted: shift by half a window, as in every second block.
    """
    count = each_axis(lambda n, w: math.ceil(n / w), size, largest)
    window = each_axis(lambda n, k: math.ceil(n / k), size, count)
    shift = each_axis(lambda w, k: w // 2 if shifted and k > 1 else 0, window, count)
    return WindowGrid(size, window, count, shift)


def cache_outside_graphs(make: Callable[..., Made]) -> Callable[..., Made]:
    """Cache a function's results, except while a graph is captured: the tensors made then belong to the graph."""
    cached = lru_cache(maxsize=16)(make)

    @wraps(make)
    def get(*arguments: Hashable) -> Made:
        captured = torch.compiler.is_compiling() or torch.jit.is_tracing()
        return (make if captured else cached)(*arguments)

    return get


@cache_outside_graphs
def attention_mask(grid: WindowGrid, device: torch.device) -> Tensor | None:
    """Return which keys a query may attend to: those that lie in the same window of the unshifted map.

    A cyclic shift brings the two ends of an axis into one window; they do not attend to each other. Padding attends
    only to padding.

    Returns:
        (M, N, N) boolean, or None where all tokens of a window attend to each other.
    """
    if grid.padded == grid.size and not any(grid.shift):
        return None
    with torch.inference_mode(False):  # cached for evaluation and training alike
        region = torch.zeros(1, 1, 1, 1, 1, dtype=torch.long, device=device)
        real = torch.ones_like(region)
        for axis, (size, padded, shift) in enumerate(zip(grid.size, grid.padded, grid.shift, strict=True), start=1):
            position = torch.arange(padded, device=device) + shift
            shape = [-1 if axis == other else 1 for other in range(5)]
            region = 2 * region + (position >= padded).long().view(shape)
            real = real * (position % padded < size).long().view(shape)
        label = torch.where(real.bool(), region, torch.full_like(region, -1))
        unshifted = WindowGrid(grid.padded, grid.window, grid.count, (0, 0, 0))
        label = unshifted.partition(label)[0, :, :, 0]
        return label[:, :, None] == label[:, None, :]


@cache_outside_graphs
def relative_offset(window: Triple, largest: Triple, device: torch.device) -> Tensor:
    """Return the index of each offset between query and key of a window in a flattened table of (2w - 1)^3 offsets.

    Args:
        window: voxels of the window along (D, H, W).
        largest: voxels of the largest window, which sets the size of the table; larger offsets are clamped to its
            border.
        device: device of the result.

    Returns:
        (N * N) indices; the centre of the table is offset zero for any window.
    """
    with torch.inference_mode(False):
        position = voxel_positions(window, device)
        farthest = torch.tensor(largest, device=device) - 1
        offset = (position[:, None] - position[None, :]).clamp(-farthest, farthest) + farthest
        _, height, width = (2 * entry - 1 for entry in largest)
        return ((offset[..., 0] * height + offset[..., 1]) * width + offset[..., 2]).flatten()


def offset_distances(largest: Triple) -> Tensor:
    """Return the length in voxels of each offset of a table, in the order of `relative_offset`: ((2w - 1)^3)."""
    size = each_axis(lambda entry: 2 * entry - 1, largest)
    offsets = voxel_positions(size, torch.get_default_device()) + 1 - torch.tensor(largest)
    return offsets.float().norm(dim=-1)


def voxel_positions(size: Triple, device: torch.device) -> Tensor:
    """Return the indices (N, 3) of the voxels of a map along (D, H, W), the last axis fastest."""
    axes = [torch.arange(entry, device=device) for entry in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)


def distances(size: Triple, voxel: Triple, spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> Tensor:
    """Return the distance (N) of each voxel of a map from `voxel`, `spacing` being along (D, H, W)."""
    offset = voxel_positions(size, torch.device("cpu")) - torch.tensor(voxel)
    return (offset * torch.tensor(spacing, dtype=torch.float32)).norm(dim=-1)
