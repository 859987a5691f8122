"""Geometry of voxel grids. A grid is a shape (voxels) and an affine (4, 4) from voxel indices to RAS millimetres."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

GREATEST_LABEL = 65535
"""Largest label of a label map, which is stored as uint16 at most."""

SINGULAR_DETERMINANT = 1e-6
"""Determinant of the three unit axis vectors (1 at right angles, 0 in a plane) below which an affine is singular."""

SHORTEST_MM, LONGEST_MM = 1.0, 4000.0
"""Range of a volume's longest side; a value outside means lengths in metres or micrometres."""

FARTHEST_MM = 1e6
"""Largest distance of the first voxel from the origin; beyond it, float32 cannot tell voxels apart."""

SAME_GRID_VOXELS = 0.1
"""Largest shift of a corner voxel between two grids called the same, as a fraction of the shortest voxel side."""

COVERAGE_POINTS = 32
"""Points along each axis at which it is looked whether a grid covers another."""


def voxel_lengths(affine: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the voxel size (3,) in mm along each axis of an affine (4, 4)."""
    return np.linalg.norm(affine[:3, :3], axis=0)


def voxel_volume_ml(affine: NDArray[np.floating]) -> float:
    """Return the volume of a voxel in ml from the determinant of an affine (4, 4) to mm, sheared or not."""
    return abs(float(np.linalg.det(affine[:3, :3]))) / 1000


def label_dtype(largest: int) -> type[np.uint8] | type[np.uint16]:
    """Return the smallest unsigned type for a label map whose largest label is `largest`."""
    return np.uint8 if largest <= np.iinfo(np.uint8).max else np.uint16


def affine_problem(affine: NDArray[np.floating]) -> str | None:
    """Return why an affine (4, 4) cannot map voxels to space, or None if it can."""
    if not np.isfinite(affine).all():
        return "affine with NaN or infinity"
    lengths = voxel_lengths(affine)
    if not lengths.all():
        return f"voxels of {format_lengths(lengths)} mm"
    if abs(np.linalg.det(affine[:3, :3] / lengths)) < SINGULAR_DETERMINANT:
        return f"singular affine {affine[:3, :3].round(6).tolist()}"
    return None


def size_problem(shape: Sequence[int], affine: NDArray[np.floating]) -> str | None:
    """Return why a grid cannot be that of a patient, a sample or a phantom, or None if it can.

    Args:
        shape: voxels along each of the three axes.
        affine: (4, 4), voxel indices to mm.
    """
    lengths = np.asarray(shape) * voxel_lengths(affine)
    if not SHORTEST_MM <= lengths.max() <= LONGEST_MM:
        return f"a volume of {format_lengths(lengths)} mm"
    distance = float(np.linalg.norm(affine[:3, 3]))
    return f"a volume {distance:.4g} mm from the origin" if distance > FARTHEST_MM else None


def farthest_corner(first: NDArray[np.floating], second: NDArray[np.floating], shape: Sequence[int]) -> float:
    """Return how far two affine maps place the same voxel apart at most, which is at a corner of the grid.

    Args:
        first: affine (4, 4).
        second: affine (4, 4) to the same space.
        shape: voxels along each of the three axes.

    Returns:
        The distance, in the units of the affines' target.
    """
    corners = np.array([[*corner, 1] for corner in itertools.product(*((0, size - 1) for size in shape))])
    return float(np.linalg.norm((corners @ (first - second).T)[:, :3], axis=1).max())


def grid_difference(
    shape: Sequence[int],
    affine: NDArray[np.floating],
    reference_shape: Sequence[int],
    reference_affine: NDArray[np.floating],
) -> str | None:
    """Return how a grid differs from a reference grid, or None if they are the same within rounding.

    Args:
        shape: voxels along each of the three axes.
        affine: (4, 4), voxel indices to mm.
        reference_shape: voxels along each axis of the reference.
        reference_affine: (4, 4), voxel indices of the reference to mm.
    """
    if tuple(shape) != tuple(reference_shape):
        return f"shape {tuple(map(int, shape))} instead of {tuple(map(int, reference_shape))}"
    distance = farthest_corner(affine, reference_affine, shape)
    if not distance <= SAME_GRID_VOXELS * voxel_lengths(reference_affine).min():
        return f"affine that places voxels up to {distance:.4g} mm elsewhere"
    return None


def covered_share(
    shape: Sequence[int],
    affine: NDArray[np.floating],
    reference_shape: Sequence[int],
    reference_affine: NDArray[np.floating],
) -> float:
    """Return the share of a reference grid's volume that lies within a grid, to about a hundredth.

    Args:
        shape: voxels along each of the three axes.
        affine: (4, 4), voxel indices to mm.
        reference_shape: voxels along each axis of the reference.
        reference_affine: (4, 4), voxel indices of the reference to mm.
    """
    centres = [(np.arange(COVERAGE_POINTS) + 0.5) * size / COVERAGE_POINTS - 0.5 for size in reference_shape]
    points = np.stack(np.meshgrid(*centres, indexing="ij"), axis=-1).reshape(-1, 3)
    mapping = np.linalg.inv(affine) @ reference_affine
    position = points @ mapping[:3, :3].T + mapping[:3, 3]
    inside = (position >= -0.5) & (position <= np.asarray(shape) - 0.5)
    return float(inside.all(axis=1).mean())


def format_lengths(lengths: Sequence[float] | NDArray[np.floating]) -> str:
    """Format three numbers as `1 x 1 x 2.5`."""
    return " x ".join(f"{length:.4g}" for length in lengths)
