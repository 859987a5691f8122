"""How far the errors of a label map are from the borders of its reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage


def error_distances(
    prediction: ArrayLike, reference: ArrayLike, spacing: Sequence[float] = (1.0, 1.0, 1.0)
) -> NDArray[np.float64]:
    """Measure the distance of each wrong voxel from the nearest border of the reference.

    Errors at a border depend on the resolution and on how readers draw. Errors far from it are confusions between
    structures, which a network can avoid if it sees more of their surroundings.

    Args:
        prediction: labels (X, Y, Z).
        reference: labels of the same shape.
        spacing: voxel size along the axes, in mm; without it, distances are in voxels.

    Returns:
        For each wrong voxel, in array order, the distance to the nearest voxel with another reference label: one voxel
        at a border, infinity if the reference has a single label.

    Raises:
        ValueError: the shapes differ.

    Examples:
        >>> reference = np.zeros((1, 1, 8), int)
        >>> reference[..., 5:] = 1
        >>> error_distances(1 - reference, reference)
        array([5., 4., 3., 2., 1., 1., 2., 3.])
    """
    predicted, wanted = np.asarray(prediction), np.asarray(reference)
    if predicted.shape != wanted.shape:
        raise ValueError(f"prediction: shape {predicted.shape}: must be that of the reference, {wanted.shape}")
    wrong = predicted != wanted
    distances = np.full(wanted.shape, np.inf)
    for label in np.unique(wanted[wrong]):
        same = wanted == label
        if not same.all():
            distances[same] = np.asarray(ndimage.distance_transform_edt(same, sampling=spacing))[same]
    return distances[wrong]
