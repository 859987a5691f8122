"""Label maps in memory: in the smallest type that holds them, and from one grid to another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform
from torch import Tensor

from hybridseg.transforms.grid import label_dtype

Labels = NDArray[np.uint8 | np.uint16]
"""Labels (X, Y, Z)."""


def compact_labels(labels: Tensor) -> Labels:
    """Labels (X, Y, Z) of any type, 0 to 65535, as uint8, or uint16 where there are labels beyond 255."""
    compact: Labels = labels.cpu().numpy().astype(label_dtype(int(labels.max())))
    return compact


def resample_labels(
    labels: Labels,
    affine: NDArray[np.floating],
    shape: Sequence[int],
    reference_affine: NDArray[np.floating],
) -> Labels:
    """Put labels on a reference grid by nearest neighbour: no label is made that was not there.

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
    resampled: Labels = np.empty(tuple(shape), labels.dtype)
    affine_transform(labels, mapping, output=resampled, order=0, mode="grid-constant")
    return resampled
