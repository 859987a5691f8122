"""Contours to voxels: a voxel is inside if its centre is, by the even-odd rule over all contours of a slice.

The rule reads every way in which holes are stored (DICOM PS3.3, C.8.8.6): an inner contour of its own, XOR contours,
and a keyhole, whose narrow channel is walked in both directions and so encloses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hybridseg.transforms.grid import LPS_TO_RAS

Contour = NDArray[np.float64]
"""The points (N, 3) of a closed contour, in LPS mm, as DICOM stores them."""

FEWEST_POINTS = 3
"""A closed contour with fewer points encloses nothing."""

LARGEST_BEND = 0.25
"""Largest extent of a contour across the slices, in slices."""

SPARSE_SLICES = 1.5
"""Regular distance of contours, in slices, from which on there are slices between them without any."""

SAME_PLANE = 0.05
"""Largest distance, in slices, between contours of the same plane, and between distances that count as the same."""


def fill_contours(contours: Sequence[Contour], shape: Sequence[int], affine: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return the mask (X, Y, Z) of the voxels inside closed contours.

    Contours lie in planes along one axis of the grid, whichever it is. A contour between two slices counts for the
    nearer one; if contours of several planes are nearest to one slice, those of the nearest plane count.

    Args:
        contours: of one ROI.
        shape: of the grid, in voxels.
        affine: (4, 4), voxel indices to RAS mm.

    Raises:
        ValueError: a contour is not planar, or not on the slices of the grid, or only on every second or third.

    Examples:
        >>> import numpy as np
        >>> square = np.array([[-1, -1, 0], [-3, -1, 0], [-3, -3, 0], [-1, -3, 0]]) + [0.5, 0.5, 0]
        >>> fill_contours([square], (4, 4, 1), np.eye(4))[:, :, 0].astype(int)
        array([[0, 0, 0, 0],
               [0, 1, 1, 0],
               [0, 1, 1, 0],
               [0, 0, 0, 0]])
    """
    to_indices = np.linalg.inv(affine) @ LPS_TO_RAS
    polygons = [
        points @ to_indices[:3, :3].T + to_indices[:3, 3] for points in contours if len(points) >= FEWEST_POINTS
    ]
    mask = np.zeros(tuple(shape), dtype=np.bool_)
    if not polygons:
        return mask
    axis = int(np.argmin([max(np.ptp(points[:, axis]) for points in polygons) for axis in range(3)]))
    across = [other for other in range(3) if other != axis]
    heights = np.array([points[:, axis].mean() for points in polygons])
    bend = max(float(np.ptp(points[:, axis])) for points in polygons)
    if bend > LARGEST_BEND:
        raise ValueError(f"a contour that crosses {bend:.2g} slices: must lie in a slice of the image")
    check_planes(heights, shape[axis])
    slices = np.moveaxis(mask, axis, 2)
    for index, numbers in contours_of_slices(heights, shape[axis]).items():
        slices[:, :, index] = fill_polygons([polygons[number][:, across] for number in numbers], slices.shape[:2])
    return mask


def check_planes(heights: NDArray[np.float64], count: int) -> None:
    """Check that contours at these heights, in slices, are on the slices of an image, and on each that they pass.

    Raises:
        ValueError: they are not.
    """
    lowest, highest = float(heights.min()), float(heights.max())
    if lowest < -0.5 - SAME_PLANE or highest > count - 0.5 + SAME_PLANE:
        raise ValueError(f"contours on slices {lowest:.4g} to {highest:.4g}: must lie on slices 0 to {count - 1}")
    gaps = np.diff(np.sort(heights))
    gaps = gaps[gaps > SAME_PLANE]
    if len(gaps) > 1 and gaps.min() > SPARSE_SLICES and np.ptp(gaps) < SAME_PLANE:
        found = f"contours {gaps.mean():.3g} slices apart"
        raise ValueError(f"{found}: must be drawn on the slices of the image, without leaving any out")


def contours_of_slices(heights: NDArray[np.float64], count: int) -> dict[int, list[int]]:
    """Return by slice the contours that count for it, from the height of each contour, in slices, and their count."""
    nearest_slices = np.clip(np.rint(heights), 0, count - 1).astype(np.intp)
    chosen = {}
    for index in np.unique(nearest_slices):
        numbers = np.flatnonzero(nearest_slices == index)
        nearest = heights[numbers[np.abs(heights[numbers] - index).argmin()]]
        chosen[int(index)] = [int(number) for number in numbers if abs(heights[number] - nearest) <= SAME_PLANE]
    return chosen


def fill_polygons(polygons: Sequence[NDArray[np.float64]], shape: Sequence[int]) -> NDArray[np.bool_]:
    """Return the mask (X, Y) of the voxels inside polygons, by the even-odd rule; what lies outside is cut off.

    An edge toggles the voxels beyond it in each row (along X) whose centres it spans. Of the two edges at a corner, one
    spans the row through the corner.

    Args:
        polygons: the points (N, 2) of each, in voxel indices.
        shape: voxels along X and Y.
    """
    columns, rows = shape
    one = np.concatenate(polygons)
    other = np.concatenate([np.roll(points, -1, axis=0) for points in polygons])
    is_upward = (one[:, 1] <= other[:, 1])[:, None]
    low, high = np.where(is_upward, one, other), np.where(is_upward, other, one)
    first, end = (np.clip(np.ceil(points[:, 1]), 0, rows).astype(np.intp) for points in (low, high))
    lengths = end - first
    edge = np.repeat(np.arange(len(lengths)), lengths)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + first[edge]
    (x, y), (dx, dy) = low[edge].T, (high - low)[edge].T
    column = np.clip(np.ceil(x + (row - y) * dx / dy), 0, columns).astype(np.intp)
    toggled = np.bincount(column * rows + row, minlength=(columns + 1) * rows).reshape(columns + 1, rows)
    inside: NDArray[np.bool_] = np.bitwise_xor.accumulate((toggled & 1).astype(np.bool_), axis=0)[:columns]
    return inside
