"""Errors by their distance from a border of the truth."""

from __future__ import annotations

import numpy as np
import pytest

from hybridseg.app.evaluation.error_distance import error_distances


def test_distances_are_those_of_a_slow_search() -> None:
    generator = np.random.default_rng(0)
    truth = np.kron(generator.integers(0, 3, (2, 2, 3)), np.ones((3, 2, 3), int))
    prediction = np.where(generator.random(truth.shape) < 0.4, 3, truth)
    spacing = np.array([1.0, 0.5, 2.0])
    expected = [
        min(np.linalg.norm((other - voxel) * spacing) for other in np.argwhere(truth != truth[tuple(voxel)]))
        for voxel in np.argwhere(prediction != truth)
    ]
    np.testing.assert_allclose(error_distances(prediction, truth, spacing.tolist()), expected)


def test_without_errors_there_are_none_and_without_borders_they_are_infinitely_far() -> None:
    empty = np.zeros((3, 3, 3), int)
    assert error_distances(empty, empty).size == 0
    wrong = empty.copy()
    wrong[1, 1, 1] = 1
    assert error_distances(wrong, empty).tolist() == [np.inf]


def test_masks_are_labels_too() -> None:
    truth = np.array([[[False, False, True, True]]])
    assert error_distances(~truth, truth).tolist() == [2, 1, 1, 2]


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"prediction: shape \(2, 2, 2\): must be that of the truth, \(3, 3, 3\)"):
        error_distances(np.zeros((2, 2, 2)), np.zeros((3, 3, 3)))
