"""Label maps in memory: their smallest data type, counts of voxels, and resampling to another grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform
from torch import Tensor

from hybridseg.transforms.grid import label_dtype

LabelMap = NDArray[np.integer]
"""Labels (X, Y, Z); 0 is the background."""

COUNTED_AT_ONCE = 1 << 20
"""Voxels counted at once: numpy needs 8 bytes for each meanwhile."""


def compact_labels(labels: Tensor) -> LabelMap:
    """Convert labels (X, Y, Z) of any data type, 0 to 65535, to uint8, or to uint16 if there are labels beyond 255."""
    compact: LabelMap = labels.cpu().numpy().astype(label_dtype(int(labels.max())))
    return compact


def count_labels(labels: LabelMap) -> NDArray[np.intp]:
    """Count the voxels of each label, from 0 to the largest."""
    flat = labels.ravel(order="K")
    parts = np.array_split(flat, math.ceil(flat.size / COUNTED_AT_ONCE))
    length = int(flat.max()) + 1
    return np.sum([np.bincount(part, minlength=length) for part in parts], axis=0)


def mask_dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float | None:
    """Return the Dice of two masks of one shape; None if both are empty."""
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return 2 * np.count_nonzero(first & second) / total if total else None


def resample_labels(
    labels: LabelMap,
    affine: NDArray[np.floating],
    shape: Sequence[int],
    reference_affine: NDArray[np.floating],
) -> LabelMap:
    """Resample labels to a reference grid by nearest neighbour, which makes no new labels.

    Args:
        labels: (X, Y, Z).
        affine: (4, 4), voxel indices of the labels' grid to RAS mm.
        shape: of the reference grid, in voxels.
        reference_affine: (4, 4), voxel indices of the reference grid to RAS mm.

    Returns:
        Labels of that shape; 0 where a voxel's centre lies outside the labels' grid, which ends half a voxel beyond the
        centres of its border voxels.
    """
    mapping = np.linalg.inv(affine) @ reference_affine  # reference voxel indices to those of the labels
    resampled: LabelMap = np.empty(tuple(shape), labels.dtype)
    affine_transform(labels, mapping, output=resampled, order=0, mode="grid-constant")
    return resampled
