"""Outline a mask of voxels by closed contours, between the centres of the voxels within and without.

Any program that fills these contours by the even-odd rule at the centres of voxels gets the mask back, voxel for voxel.
A hole is joined to the contour around it by a line that goes there and back (a keyhole; DICOM PS3.3, C.8.8.6.3).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Contour = NDArray[np.float64]
"""Points (N, 2) as column and row, in voxels; the last is joined to the first."""


def outline(mask: NDArray[np.bool_]) -> list[Contour]:
    """Return a closed contour for each connected part of a mask (columns, rows)."""
    if not mask.any():
        return []
    from contourpy import FillType, contour_generator

    columns, rows = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    start = np.array([columns[0] - 1, rows[0] - 1])
    cropped = np.pad(mask[columns[0] : columns[-1] + 1, rows[0] : rows[-1] + 1].T.astype(np.float64), 1)
    filled = contour_generator(z=cropped, fill_type=FillType.OuterOffset).filled(0.5, 2)
    contours = []
    for points, offsets in zip(*filled, strict=True):
        outer, *holes = (corners(points[first : last - 1]) for first, last in pairwise(offsets))
        for hole in sorted(holes, key=lambda hole: float(hole[:, 0].max()), reverse=True):
            outer = with_keyhole(outer, hole)
        contours.append(outer + start)
    return contours


def corners(ring: Contour) -> Contour:
    """Leave out the points of a ring on a straight line between their neighbours."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    return ring[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]


def with_keyhole(outer: Contour, hole: Contour) -> Contour:
    """Join a hole to the contour around it, at their nearest points."""
    from scipy.spatial import KDTree

    distances, nearest = KDTree(outer).query(hole)
    entry = int(np.argmin(distances))
    leave = int(np.asarray(nearest)[entry])
    around = np.concatenate([hole[entry:], hole[: entry + 1]])
    return np.concatenate([outer[: leave + 1], around, outer[leave:]])
