"""Masks on a part of a grid, turned or not, onto the whole grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hybridseg.transforms.grid import SAME_GRID_VOXELS, farthest_corner


def place_mask(mask: NDArray[np.bool_], to_target: NDArray[np.floating], target: NDArray[np.bool_]) -> None:
    """Add a mask to a target, voxel for voxel.

    Args:
        mask: (X, Y, Z).
        to_target: (4, 4), voxel indices of the mask to those of the target.
        target: (U, V, W), changed in place.

    Raises:
        ValueError: the voxels of the two are not the same ones within a tenth of a voxel, or the mask has voxels
            outside the target.
    """
    axes = np.abs(to_target[:3, :3]).argmax(axis=0)  # of the target, along each axis of the mask
    exact = np.eye(4)
    exact[:3, :3] = 0
    exact[axes, range(3)] = np.sign(to_target[axes, range(3)])
    exact[:3, 3] = np.rint(to_target[:3, 3])
    distance = farthest_corner(to_target, exact, mask.shape)
    if len(set(axes.tolist())) < 3 or not distance <= SAME_GRID_VOXELS:
        raise ValueError(f"voxels up to {distance:.3g} voxels away from the image's: must be on the image's voxels")
    order = np.argsort(axes)
    turned = np.flip(mask.transpose(order), tuple(axis for axis in range(3) if exact[axis, order[axis]] < 0))
    last = exact[:3, :3] @ (np.asarray(mask.shape) - 1)
    start = (exact[:3, 3] + np.minimum(last, 0)).astype(np.int64)
    low = np.clip(start, 0, target.shape)
    high = np.clip(start + turned.shape, low, target.shape)
    inside = turned[tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))]
    if outside := int(np.count_nonzero(turned)) - int(np.count_nonzero(inside)):
        raise ValueError(f"{outside} voxels outside the image: must lie within it")
    target[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] |= inside
