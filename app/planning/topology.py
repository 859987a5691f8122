"""Grid, downsampling and patch of a planned bundle: what follows from the size of the voxels and of the volumes.

The rules are nnU-Net's (Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z, supplementary note 2) where no
other source is named. Everything is along the patient's axes right, anterior, superior.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hybridseg.networks.validation import Triple, each_axis, times

ANISOTROPIC = 3.0
"""How many times as long as the others the longest edge of a voxel is from where the grid is called anisotropic."""
COARSE = 2.0
"""From how many times the shortest edge of a voxel an axis is neither convolved along nor halved."""
FEWEST_VOXELS = 4
"""Along an axis, at the coarsest scale."""
LONGEST_PATCH = 128
"""Voxels along each axis of the largest patch that is planned, if it is a cube; others have as many voxels."""


@dataclass(frozen=True)
class Downsampling:
    """How the network goes from scale to scale.

    Attributes:
        strides: of each stage, in voxels.
        kernels: of each stage, in voxels.
        stem_kernel: at full resolution, in voxels.
    """

    strides: tuple[Triple, ...]
    kernels: tuple[Triple, ...]
    stem_kernel: Triple

    @property
    def total(self) -> Triple:
        """The stride of the coarsest scale, in voxels."""
        stride = (1, 1, 1)
        for step in self.strides:
            stride = times(stride, step)
        return stride

    @property
    def is_isotropic(self) -> bool:
        """Whether it is what the presets do anyway: 3 x 3 x 3 kernels, and every axis halved by every stage."""
        return {*self.kernels, self.stem_kernel} == {(3, 3, 3)} and set(self.strides) == {(2, 2, 2)}


def target_spacing(median: Sequence[float], tenth_percentile: Sequence[float]) -> tuple[float, ...]:
    """The grid to resample to, in mm: the median of each axis; along a coarse one the finest tenth of the cases.

    Args:
        median: spacing over the cases, in mm.
        tenth_percentile: likewise.
    """
    coarse = median.index(max(median))
    chosen = list(median)
    if is_anisotropic(median):
        finest_other = min(value for axis, value in enumerate(median) if axis != coarse)
        chosen[coarse] = max(tenth_percentile[coarse], finest_other)
    return tuple(float(f"{value:.3g}") for value in chosen)


def is_anisotropic(spacing: Sequence[float]) -> bool:
    """Whether one edge of a voxel is much longer than the shortest."""
    return max(spacing) / min(spacing) > ANISOTROPIC


def plan_downsampling(spacing: Sequence[float], shape: Sequence[int], stages: int) -> Downsampling:
    """Halve what is fine and long enough; convolve along what is fine enough.

    Args:
        spacing: of the network's grid, in mm.
        shape: of a typical volume on it, in voxels.
        stages: of the network.
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
    """Three voxels along each axis, one along those that are coarse."""
    depth, height, width = (1 if edge >= COARSE * min(edges) else 3 for edge in edges)
    return depth, height, width


def patch_sizes(shape: Sequence[int], spacing: Sequence[float], stride: Triple) -> list[Triple]:
    """The patches to choose from, the smallest first: all multiples of the stride, each axis no longer than a volume.

    The largest is the whole of a typical volume, as far as it is not larger than planned at all; each smaller one is
    shorter along the axis that is longest in mm, so that patches become cubes.

    Args:
        shape: of a typical volume on the network's grid, in voxels.
        spacing: of the grid, in mm.
        stride: of the network's coarsest scale, in voxels.
    """
    patch = list(each_axis(lambda n, step: math.ceil(n / step) * step, shape, stride))
    sizes: list[Triple] = []
    while True:
        if math.prod(patch) <= LONGEST_PATCH**3:
            sizes.append((patch[0], patch[1], patch[2]))
        shrinkable = [axis for axis in range(3) if patch[axis] > least(stride[axis])]
        if not shrinkable:
            return sizes[::-1]
        longest = max(shrinkable, key=lambda axis: patch[axis] * spacing[axis])
        patch[longest] -= stride[longest]


def least(stride: int) -> int:
    """Voxels along an axis of the smallest patch."""
    return stride * FEWEST_VOXELS
