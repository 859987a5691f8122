"""Distances of errors from the nearest border of the reference."""

from __future__ import annotations

import numpy as np
import pytest

from hybridseg.app.evaluation.error_distance import error_distances


def test_distances_equal_a_brute_force_search() -> None:
    generator = np.random.default_rng(0)
    reference = np.kron(generator.integers(0, 3, (2, 2, 3)), np.ones((3, 2, 3), int))
    prediction = np.where(generator.random(reference.shape) < 0.4, 3, reference)
    spacing = np.array([1.0, 0.5, 2.0])
    expected = [
        min(np.linalg.norm((other - voxel) * spacing) for other in np.argwhere(reference != reference[tuple(voxel)]))
        for voxel in np.argwhere(prediction != reference)
    ]
    np.testing.assert_allclose(error_distances(prediction, reference, spacing.tolist()), expected)


def test_no_errors_and_no_borders() -> None:
    empty = np.zeros((3, 3, 3), int)
    assert error_distances(empty, empty).size == 0
    wrong = empty.copy()
    wrong[1, 1, 1] = 1
    assert error_distances(wrong, empty).tolist() == [np.inf]


def test_masks_count_as_labels() -> None:
    reference = np.array([[[False, False, True, True]]])
    assert error_distances(~reference, reference).tolist() == [2, 1, 1, 2]


def test_different_shapes_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"prediction: shape \(2, 2, 2\): must be that of the reference, \(3, 3, 3\)"):
        error_distances(np.zeros((2, 2, 2)), np.zeros((3, 3, 3)))
