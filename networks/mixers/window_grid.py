"""The geometry of 3D shifted windows: how a feature map is cut, which tokens may meet, which offset lies between them.

Follows Swin (Liu et al. 2021, https://arxiv.org/abs/2103.14030, figures 2 and 4). Deviations: windows are balanced to
the map, so next to nothing is padded, and a window's relative offsets are looked up by their distance in voxels, so
the bias is right for any window size.

    size     voxels of the map along (D, H, W)
    window   voxels of one window, N in all
    count    windows along each axis, M in all
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
Result = TypeVar("Result")


@dataclass(frozen=True)
class WindowGrid:
    """A map of `size` voxels, cut into `count` windows of `window` voxels after a cyclic shift by `shift` voxels."""

    size: Triple
    window: Triple
    count: Triple
    shift: Triple

    @property
    def padded(self) -> Triple:
        """Voxels of the map with its padding, at the far end of each axis."""
        return each_axis(mul, self.window, self.count)

    def partition(self, tokens: Tensor) -> Tensor:
        """Cut `tokens` (B, D, H, W, C) into windows (B, M, N, C), padding with zeros and shifting first."""
        padding = [entry for axis in (WIDTH, HEIGHT, DEPTH) for entry in (0, self.padded[axis] - self.size[axis])]
        tokens = functional.pad(tokens, (0, 0, *padding)) if any(padding) else tokens
        tokens = torch.roll(tokens, [-shift for shift in self.shift], dims=(1, 2, 3)) if any(self.shift) else tokens
        for axis in (WIDTH, HEIGHT, DEPTH):
            tokens = tokens.unflatten(1 + axis, (self.count[axis], self.window[axis]))
        windows = tokens.permute(0, 1, 3, 5, 2, 4, 6, 7)  # (B, windows along each axis, voxels along each axis, C)
        return windows.flatten(4, 6).flatten(1, 3)

    def merge(self, windows: Tensor) -> Tensor:
        """Put `windows` (B, M, N, C) back in place as (B, D, H, W, C): the inverse of `partition`."""
        windows = windows.unflatten(2, self.window).unflatten(1, self.count)
        tokens = windows.permute(0, 1, 4, 2, 5, 3, 6, 7)  # (B, window and voxel within it along each axis, C)
        for axis in (DEPTH, HEIGHT, WIDTH):
            tokens = tokens.flatten(1 + axis, 2 + axis)
        tokens = torch.roll(tokens, self.shift, dims=(1, 2, 3)) if any(self.shift) else tokens
        depth, height, width = self.size
        return tokens[:, :depth, :height, :width]

    def numbers(self) -> Tensor:
        """A number (D, H, W) for each voxel of the map, the same for those that may meet, and no others; on the CPU."""
        number = torch.zeros(1, 1, 1, dtype=torch.long)
        for axis, (size, window, shift) in enumerate(zip(self.size, self.window, self.shift, strict=True)):
            along = (torch.arange(size) - shift).div(window, rounding_mode="floor") + (shift > 0)
            shape = [-1 if axis == other else 1 for other in range(3)]
            number = number * (int(along.max()) + 1) + along.view(shape)
        return number


@lru_cache(maxsize=256)
def window_grid(size: Triple, largest: Triple, shifted: bool) -> WindowGrid:
    """Balance windows to a map.

    Along an axis of n voxels under windows of at most w, k = ceil(n / w) windows of ceil(n / k) voxels are taken. An
    axis with one window is not shifted: all its tokens meet anyway.

    Args:
        size: voxels of the map along (D, H, W).
        largest: voxels a window may have along each axis.
        shifted: shift by half a window, as in every second block.
    """
    count = each_axis(lambda n, w: math.ceil(n / w), size, largest)
    window = each_axis(lambda n, k: math.ceil(n / k), size, count)
    shift = each_axis(lambda w, k: w // 2 if shifted and k > 1 else 0, window, count)
    return WindowGrid(size, window, count, shift)


def kept(make: Callable[..., Result]) -> Callable[..., Result]:
    """Remember what a function made of its arguments; not while a graph is captured, to which its tensors belong."""
    remembered = lru_cache(maxsize=16)(make)

    @wraps(make)
    def get(*arguments: Hashable) -> Result:
        captured = torch.compiler.is_compiling() or torch.jit.is_tracing()
        return (make if captured else remembered)(*arguments)

    return get


@kept
def attention_mask(grid: WindowGrid, device: torch.device) -> Tensor | None:
    """Which tokens may meet: True where query and key are neighbours in the unshifted map and both are voxels of it.

    A cyclic shift brings the two ends of an axis into one window; they stay strangers. Padding meets only padding.

    Returns:
        (M, N, N) boolean, or None where every token of a window may meet every other.
    """
    if grid.padded == grid.size and not any(grid.shift):
        return None
    with torch.inference_mode(False):  # made once, used in evaluation and in training alike
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


@kept
def relative_offset(window: Triple, largest: Triple, device: torch.device) -> Tensor:
    """Where the offset between each query and key of a window stands in a flattened table of (2w - 1)^3 offsets.

    Args:
        window: voxels of the window at hand.
        largest: voxels of the largest window, for which the table has room; offsets beyond it stand at its border.
        device: where the result lives.

    Returns:
        (N * N) indices; the table's centre is offset zero, whatever the window.
    """
    with torch.inference_mode(False):
        position = voxel_positions(window, device)
        farthest = torch.tensor(largest, device=device) - 1
        offset = (position[:, None] - position[None, :]).clamp(-farthest, farthest) + farthest
        _, height, width = (2 * entry - 1 for entry in largest)
        return ((offset[..., 0] * height + offset[..., 1]) * width + offset[..., 2]).flatten()


def offset_distances(largest: Triple) -> Tensor:
    """The length in voxels of each offset of a table, in the order of `relative_offset`: ((2w - 1)^3)."""
    size = each_axis(lambda entry: 2 * entry - 1, largest)
    offsets = voxel_positions(size, torch.get_default_device()) + 1 - torch.tensor(largest)
    return offsets.float().norm(dim=-1)


def voxel_positions(size: Triple, device: torch.device) -> Tensor:
    """The indices (N, 3) of the voxels of a map along (D, H, W), the last axis fastest."""
    axes = [torch.arange(entry, device=device) for entry in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)


def distances(size: Triple, voxel: Triple, spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> Tensor:
    """How far from a voxel each voxel of a map is, with `spacing` along (D, H, W): (N), the last axis fastest."""
    offset = voxel_positions(size, torch.device("cpu")) - torch.tensor(voxel)
    return (offset * torch.tensor(spacing, dtype=torch.float32)).norm(dim=-1)
