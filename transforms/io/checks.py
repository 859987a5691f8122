"""Check that a volume can be segmented: rules on its header, then on its voxels. Each problem is a VolumeError."""

from __future__ import annotations

import math
import os

import numpy as np
from numpy.typing import NDArray

from hybridseg.transforms.errors import PathLike, VolumeError, warn_of_volume
from hybridseg.transforms.grid import (
    FARTHEST_MM,
    GREATEST_LABEL,
    LONGEST_MM,
    SHORTEST_MM,
    affine_problem,
    covered_share,
    grid_difference,
    size_problem,
)

from .header import VolumeHeader

GREATEST_INTENSITY = 1e12
"""Far above any scanner's, far below where sums of float32 voxels overflow."""

LEAST_COVERED, WELL_COVERED = 0.5, 0.95
"""Shares of the first channel's volume that another channel must cover, and that it usually covers."""

INTEGER_TOLERANCE = 1e-3
"""Largest distance of a label from an integer: files with scaled voxels give 0.99999 for 1."""


def check_header(path: PathLike, header: VolumeHeader, channels: int) -> None:
    """Check what a file claims, before its voxels are read.

    Args:
        path: the file, for the error.
        header: its header.
        channels: number of channels required.

    Raises:
        VolumeError: not three spatial axes, a wrong number of channels, no voxels, voxels that are not numbers, more
            voxels than the file can hold, or fewer than it holds, a zero, singular or non-finite affine, or an
            implausible size in mm.
    """
    shape = header.shape
    if not header.is_numeric:
        raise VolumeError(path, f"{header.voxel_type} voxels", "voxels must be real numbers")
    if len(header.spatial_shape) < 3 or len(header.channel_axes) > 1:
        raise VolumeError(path, f"{len(shape)} dimensions {shape}", "must have 3, or 4 with channels last")
    if min(shape) < 1:
        raise VolumeError(path, f"shape {shape}", "every axis must have at least one voxel")
    found = header.channel_axes[0] if header.channel_axes else 1
    if found != channels:
        raise VolumeError(path, f"{found} channels (shape {shape})", f"must have {channels}")
    if header.capacity is not None and header.voxel_bytes > header.capacity:
        claim = f"shape {shape} of {header.voxel_type} is {header.voxel_bytes} bytes"
        raise VolumeError(path, f"{claim}, at most {header.capacity} are there", "must be a whole, readable volume")
    if header.surplus:
        claim = f"{header.surplus} bytes after the {header.voxel_bytes} of shape {shape} of {header.voxel_type}"
        raise VolumeError(path, claim, "must hold the voxels that its header describes, and no more")
    if problem := affine_problem(header.affine):
        raise VolumeError(path, problem, "the affine must be finite and its three axes independent")
    if problem := size_problem(header.spatial_shape, header.affine):
        rule = f"must measure {SHORTEST_MM:g} to {LONGEST_MM:g} mm and lie within {FARTHEST_MM:g} mm of the origin"
        raise VolumeError(path, problem, rule)


def check_grid(path: PathLike, header: VolumeHeader, reference_path: PathLike, reference: VolumeHeader) -> None:
    """Check that a label map lies on the grid of its image.

    Raises:
        VolumeError: another shape, or an affine that moves a voxel by more than a tenth of a voxel.
    """
    difference = grid_difference(header.spatial_shape, header.affine, reference.spatial_shape, reference.affine)
    if difference:
        raise VolumeError(path, difference, f"must be on the grid of {os.fspath(reference_path)}")


def shares_grid(header: VolumeHeader, reference: VolumeHeader) -> bool:
    """Return whether two volumes are on the same grid within rounding."""
    grids = (header.spatial_shape, header.affine, reference.spatial_shape, reference.affine)
    return grid_difference(*grids) is None


def check_channel(path: PathLike, header: VolumeHeader, first_path: PathLike, first: VolumeHeader) -> None:
    """Check that a channel on a grid of its own shows what the first channel shows; warn if it shows only part of it.

    Raises:
        VolumeError: another frame of reference, or less than half of the first channel's volume is covered.
    """
    frames = {header.frame_of_reference, first.frame_of_reference} - {""}
    if len(frames) > 1:
        rule = f"must be that of {os.fspath(first_path)}, {first.frame_of_reference}: positions cannot be compared"
        raise VolumeError(path, f"frame of reference {header.frame_of_reference}", rule)
    covered = covered_share(header.spatial_shape, header.affine, first.spatial_shape, first.affine)
    found = f"covers {covered:.0%} of the volume of {os.fspath(first_path)}"
    if covered < LEAST_COVERED:
        raise VolumeError(path, found, f"a channel must cover at least {LEAST_COVERED:.0%} of the first")
    if covered < WELL_COVERED:
        warn_of_volume(path, found, "the channel counts as air elsewhere")


def check_image(path: PathLike, image: NDArray[np.floating]) -> None:
    """Check the voxels of an image (D, H, W) or (D, H, W, C).

    Raises:
        VolumeError: voxels that are NaN, infinite or absurdly large, or a channel with a single value.
    """
    channels = np.moveaxis(image, -1, 0) if image.ndim > 3 else image[None]
    for index, channel in enumerate(channels):
        lowest, highest = finite_range(path, channel)
        where = f" in channel {index}" if len(channels) > 1 else ""
        if max(-lowest, highest) > GREATEST_INTENSITY:
            found = f"voxels from {lowest:g} to {highest:g}{where}"
            raise VolumeError(path, found, f"must be within ±{GREATEST_INTENSITY:g}")
        if lowest == highest:
            raise VolumeError(path, f"all voxels are {lowest:g}{where}", "voxels must differ to show anything")


def check_label_map(path: PathLike, labels: NDArray[np.floating]) -> None:
    """Check the voxels of a label map (D, H, W).

    Raises:
        VolumeError: voxels that are not finite, not integers, negative or above 65535.
    """
    lowest, highest = finite_range(path, labels)
    fractional = np.abs(labels - labels.round()) > INTEGER_TOLERANCE
    if fractional.any():
        value = float(labels[fractional][0])
        raise VolumeError(path, f"{int(fractional.sum())} labels such as {value:g}", "labels must be integers")
    if lowest < -INTEGER_TOLERANCE or highest > GREATEST_LABEL + INTEGER_TOLERANCE:
        raise VolumeError(path, f"labels from {lowest:g} to {highest:g}", f"must be from 0 to {GREATEST_LABEL}")


def finite_range(path: PathLike, volume: NDArray[np.floating]) -> tuple[float, float]:
    """Return the lowest and the highest voxel.

    Raises:
        VolumeError: voxels are NaN or infinite.
    """
    lowest, highest = float(volume.min()), float(volume.max())  # both NaN if any voxel is
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        count = volume.size - int(np.isfinite(volume).sum())
        raise VolumeError(path, f"{count} of {volume.size} voxels are NaN or infinite", "every voxel must be finite")
    return lowest, highest
