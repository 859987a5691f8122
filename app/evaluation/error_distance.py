"""Where the errors of a label map are: at the borders of the truth, or away from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage


def error_distances(
    prediction: ArrayLike, truth: ArrayLike, spacing: Sequence[float] = (1.0, 1.0, 1.0)
) -> NDArray[np.float64]:
    """How far from a border of the truth each wrong voxel is.

    What lies at a border is a question of resolution and of how readers draw; what lies away from it, of taking one
    thing for another, which a network mends that sees more of the surroundings.

    Args:
        prediction: labels (X, Y, Z).
        truth: labels of the same shape.
        spacing: size of a voxel along the axes, in mm; as it is, distances are in voxels.

    Returns:
        For each wrong voxel, in the order of the array, the distance to the nearest voxel that has another label in
        the truth: one voxel for those at a border, infinity where all have one label.

    Raises:
        ValueError: the shapes differ.

    Examples:
        >>> truth = np.zeros((1, 1, 8), int)
        >>> truth[..., 5:] = 1
        >>> error_distances(1 - truth, truth)
        array([5., 4., 3., 2., 1., 1., 2., 3.])
    """
    predicted, true = np.asarray(prediction), np.asarray(truth)
    if predicted.shape != true.shape:
        raise ValueError(f"prediction: shape {predicted.shape}: must be that of the truth, {true.shape}")
    wrong = predicted != true
    distances = np.full(true.shape, np.inf)
    for label in np.unique(true[wrong]):
        same = true == label
        if not same.all():
            distances[same] = np.asarray(ndimage.distance_transform_edt(same, sampling=spacing))[same]
    return distances[wrong]
