"""Choose spacing, downsampling and patch sizes of a planned bundle from the size of its voxels and volumes.

The rules are those of nnU-Net (Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z, supplementary note 2).
All sizes are along the patient's axes right, anterior, superior.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hybridseg.networks.validation import Triple, each_axis, times

ANISOTROPIC = 3.0
"""A grid is anisotropic if the longest edge of a voxel is more than this many times the shortest."""
COARSE = 2.0
"""An axis is neither convolved along nor halved while its voxel edge is at least this many times the shortest."""
FEWEST_VOXELS = 4
"""Voxels along an axis at the coarsest scale, at least."""
LARGE = 64
"""Voxels along the shortest axis of volumes that count as large."""
LEAST_PATCH = 96
"""Edge, in voxels, from which a patch need not hold all labels."""
AROUND_LABELS = 1.25
"""Edge of a patch that holds the labels of a typical case, relative to theirs."""
LONGEST_PATCH = 128
"""Edge of the largest patch that is planned, in voxels, if it is a cube; no other patch has more voxels."""


@dataclass(frozen=True)
class Downsampling:
    """Strides and kernels of a network.

    Attributes:
        strides: stride of each stage, in voxels.
        kernels: kernel of each stage, in voxels.
        stem_kernel: kernel at full resolution, in voxels.
    """

    strides: tuple[Triple, ...]
    kernels: tuple[Triple, ...]
    stem_kernel: Triple

    @property
    def total(self) -> Triple:
        """Return the stride of the coarsest scale, in voxels."""
        stride = (1, 1, 1)
        for step in self.strides:
            stride = times(stride, step)
        return stride

    @property
    def is_isotropic(self) -> bool:
        """Whether it equals the presets: 3 x 3 x 3 kernels, and every stage halves every axis."""
        return {*self.kernels, self.stem_kernel} == {(3, 3, 3)} and set(self.strides) == {(2, 2, 2)}


def target_spacing(median: Sequence[float], tenth_percentile: Sequence[float]) -> tuple[float, ...]:
    """Return the spacing to resample to, in mm: the median; along the axis of thick slices the 10th percentile.

    Args:
        median: median spacing of the cases, in mm.
        tenth_percentile: 10th percentile of their spacing, in mm.
    """
    coarse = median.index(max(median))
    chosen = list(median)
    if is_anisotropic(median):
        finest_other = min(value for axis, value in enumerate(median) if axis != coarse)
        chosen[coarse] = max(tenth_percentile[coarse], finest_other)
    return tuple(float(f"{value:.3g}") for value in chosen)


def is_anisotropic(spacing: Sequence[float]) -> bool:
    """Return whether one edge of a voxel is much longer than the shortest."""
    return max(spacing) / min(spacing) > ANISOTROPIC


def typical_shape(extent_mm: Sequence[float], spacing: Sequence[float]) -> Triple:
    """Return the size of a volume on a grid, in voxels."""
    edges = zip(extent_mm, spacing, strict=True)
    depth, height, width = (max(1, round(extent / edge)) for extent, edge in edges)
    return depth, height, width


def is_large(shape: Sequence[int]) -> bool:
    """Return whether a volume has enough voxels for a fourth downsampling."""
    return min(shape) >= LARGE or sorted(shape)[1] >= 2 * LARGE


def plan_downsampling(spacing: Sequence[float], shape: Sequence[int], stages: int) -> Downsampling:
    """Halve each axis while it is fine and long enough; convolve along each axis that is fine enough.

    Args:
        spacing: spacing of the network's grid, in mm.
        shape: size of a typical volume on that grid, in voxels.
        stages: number of stages of the network.
    """
    edges, size = list(spacing), list(shape)
    strides: list[Triple] = []
    kernels = [kernel_for(edges)]
    for _ in range(stages):
        long = [n >= 2 * FEWEST_VOXELS for n in size]
        finest = min((edge for edge, enough in zip(edges, long, strict=True) if enough), default=0.0)
        depth, height, width = (
            2 if enough and edge < COARSE * finest else 1 for edge, enough in zip(edges, long, strict=True)
        )
        stride = depth, height, width
        edges = [edge * step for edge, step in zip(edges, stride, strict=True)]
        size = [math.ceil(n / step) for n, step in zip(size, stride, strict=True)]
        strides.append(stride)
        kernels.append(kernel_for(edges))
    return Downsampling(tuple(strides), tuple(kernels[1:]), kernels[0])


def kernel_for(edges: Sequence[float]) -> Triple:
    """Return a kernel of three voxels along each axis, but one along coarse axes."""
    depth, height, width = (1 if edge >= COARSE * min(edges) else 3 for edge in edges)
    return depth, height, width


def patch_sizes(shape: Sequence[int], spacing: Sequence[float], stride: Triple) -> list[Triple]:
    """Return the patches to choose from, the smallest first: multiples of the stride, no longer than a volume needs.

    The largest holds a typical volume, unless that exceeds `LONGEST_PATCH`; each smaller one is shorter along the axis
    that is longest in mm, so that patches become cubes.

    Args:
        shape: size of a typical volume on the network's grid, in voxels.
        spacing: spacing of that grid, in mm.
        stride: stride of the network's coarsest scale, in voxels.
    """
    patch = list(each_axis(lambda n, step: math.ceil(n / step) * step, shape, stride))
    sizes: list[Triple] = []
    while True:
        if math.prod(patch) <= LONGEST_PATCH**3:
            sizes.append((patch[0], patch[1], patch[2]))
        shrinkable = [axis for axis in range(3) if patch[axis] > stride[axis] * FEWEST_VOXELS]
        if not shrinkable:
            return sizes[::-1]
        longest = max(shrinkable, key=lambda axis: patch[axis] * spacing[axis])
        patch[longest] -= stride[longest]


def least_patch(labelled_mm: Sequence[float], spacing: Sequence[float], shape: Sequence[int], stride: Triple) -> Triple:
    """Return the smallest patch that is worth training with: it holds the labels of a typical case, if these are small.

    It keeps `FEWEST_VOXELS` along each axis at the coarsest scale, as far as a volume has them. In cardiac MRI, a patch
    that just holds the heart learns more in the same time than a larger one
    (docs/ablation/LOG.md).

    Args:
        labelled_mm: size of the box around all labels of a typical case, in mm.
        spacing: spacing of the network's grid, in mm.
        shape: size of a typical volume on that grid, in voxels.
        stride: stride of the network's coarsest scale, in voxels.
    """
    labels = (AROUND_LABELS * length / edge for length, edge in zip(labelled_mm, spacing, strict=True))
    wanted = (
        min(n, max(min(length, LEAST_PATCH), FEWEST_VOXELS * step))
        for n, length, step in zip(shape, labels, stride, strict=True)
    )
    depth, height, width = (math.ceil(length / step) * step for length, step in zip(wanted, stride, strict=True))
    return depth, height, width
