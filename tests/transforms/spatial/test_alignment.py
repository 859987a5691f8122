"""Alignment of a grid with the axes of another."""

import numpy as np
import pytest
import torch

from hybridseg.transforms.spatial.alignment import align_axes

SIZE = (6, 7, 8)


def test_permutation_flip_and_shift_are_exact() -> None:
    mapping = np.array([[0, 0, -1.0, 5], [1, 0, 0, 2], [0, 1, 0, -3], [0, 0, 0, 1]])
    axes = align_axes(mapping, SIZE, (4, 12, 6))
    assert axes is not None
    assert [axis.source for axis in axes] == [1, 2, 0]
    assert [axis.inside for axis in axes] == [slice(0, 4), slice(3, 11), slice(0, 6)]
    assert [axis.lower.tolist() for axis in axes] == [[2, 3, 4, 5], [*range(8)], [5, 4, 3, 2, 1, 0]]
    assert all(axis.weight is None for axis in axes)


def test_interpolation_equals_numpy() -> None:
    mapping = np.diag([0.4, 1.0, 1.0, 1.0])
    mapping[0, 3] = -0.5
    axes = align_axes(mapping, SIZE, (20, 7, 8))
    assert axes is not None
    positions = 0.4 * np.arange(20) - 0.5
    assert axes[0].inside == slice(0, int((positions <= 5.5).sum()))
    values = torch.rand(SIZE, dtype=torch.float64)
    expected = np.interp(positions[axes[0].inside], range(6), values[:, 2, 3].numpy())
    np.testing.assert_allclose(axes[0].interpolate(values, 0)[:, 2, 3], expected, atol=1e-6)


def test_part_of_an_axis_equals_a_slice_of_the_whole() -> None:
    axes = align_axes(np.diag([0.7, 0.3, 1, 1]), SIZE, (8, 20, 8))
    assert axes is not None
    values = torch.rand(SIZE)
    assert axes[1].interpolate(values, 1, slice(3, 9)).equal(axes[1].interpolate(values, 1)[:, 3:9])


@pytest.mark.parametrize("shift", [-100.0, 100.0])
def test_axis_outside_the_network_grid_is_empty(shift: float) -> None:
    mapping = np.eye(4)
    mapping[2, 3] = shift
    axes = align_axes(mapping, SIZE, SIZE)
    assert axes is not None
    assert axes[2].inside == slice(0, 0)
    assert not len(axes[2].lower)


def test_rotated_grid_is_aligned_only_within_the_tolerance() -> None:
    mapping = np.eye(4)
    mapping[0, 1] = 0.01
    assert align_axes(mapping, SIZE, SIZE) is None
    mapping[0, 1] = 1e-5
    assert align_axes(mapping, SIZE, SIZE) is not None
    assert align_axes(np.array([[1, 1, 0, 0], [0.5, 0.9, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), SIZE, SIZE) is None
