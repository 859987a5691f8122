"""Surfaces on a sheared grid have the distances and areas that they have in space."""

from __future__ import annotations

from itertools import product
from math import pi, sqrt

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from hybridseg.app.evaluation.metrics import LabelScore, score_case
from hybridseg.app.evaluation.sheared import is_sheared, surface_dice, surface_distances, surface_elements

Axes = NDArray[np.float64]

SHEARED = np.array([[1.0, sqrt(0.5), 0.0], [0.0, sqrt(0.5), 0.0], [0.0, 0.0, 1.0]])
"""Axes of 1 mm, the second at 45 degrees to the first."""
OBLIQUE = np.array([[1.0, 0.7, 0.2], [0.0, 0.7, -0.5], [0.1, 0.0, 1.3]])


def affine_of(axes: Axes) -> Axes:
    """Return the affine (4, 4) with these axes."""
    affine = np.eye(4)
    affine[:3, :3] = axes
    return affine


def ball(axes: Axes, centre: tuple[float, float, float], radius: float, size: int = 56) -> NDArray[np.uint8]:
    """Return labels (size, size, size) that are 1 in a ball; centre in voxels, radius in mm."""
    indices = np.stack(np.meshgrid(*[np.arange(size)] * 3, indexing="ij"), axis=-1) - np.array(centre)
    return (np.linalg.norm(indices @ axes.T, axis=-1) < radius).astype(np.uint8)


def score(prediction: NDArray[np.uint8], reference: NDArray[np.uint8], axes: Axes, tolerance: float) -> LabelScore:
    """Return the score of label 1."""
    (only,) = score_case(prediction, reference, affine=affine_of(axes), label_names={1: "ball"}, tolerance=tolerance)
    return only


def two_balls(axes: Axes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a ball of 8 mm, and one 3 mm further along the first axis, rasterised on a grid with these axes."""
    step = np.linalg.inv(axes) @ np.array([3.0, 0.0, 0.0])
    centre = np.full(3, 28.0)
    shifted = centre + step
    return (
        ball(axes, (centre[0], centre[1], centre[2]), 8.0),
        ball(axes, (shifted[0], shifted[1], shifted[2]), 8.0),
    )


def test_scores_of_a_sheared_grid_equal_those_of_an_upright_one() -> None:
    upright = score(*two_balls(np.eye(3)), np.eye(3), tolerance=1.5)
    sheared = score(*two_balls(SHEARED), SHEARED, tolerance=1.5)
    assert sheared.hd95 == pytest.approx(upright.hd95, abs=0.3)
    assert sheared.assd == pytest.approx(upright.assd, abs=0.15)
    assert sheared.surface_dice == pytest.approx(upright.surface_dice, abs=0.05)
    assert sheared.reference_ml == pytest.approx(4 / 3 * pi * 8**3 / 1000, rel=0.03)


def test_gap_of_parallel_plates_is_measured_at_right_angles() -> None:
    tilted = np.array([[1.0, 0.6, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, 1.0]])
    first, second = (np.zeros((40, 20, 3), dtype=np.uint8) for _ in range(2))
    first[20:30, 10], second[10:35, 15] = 1, 1  # five steps of 1 mm apart along an axis that leans by 3 mm meanwhile
    there, _ = surface_distances(torch.from_numpy(first > 0), torch.from_numpy(second > 0), tilted)
    assert there.numpy() == pytest.approx(4.0)
    assert score(first, second, tilted, tolerance=3.19).surface_dice == 0.0  # near sides are four steps apart
    assert (score(first, second, tilted, tolerance=3.24).surface_dice or 0.0) > 0.2


def test_distances_equal_those_of_all_voxel_pairs() -> None:
    masks = [torch.from_numpy(mask > 0) for mask in two_balls(OBLIQUE)]
    points = [np.argwhere(surface(mask.numpy())) @ OBLIQUE.T for mask in masks]
    there = cdist(points[0], points[1])
    first, second = surface_distances(masks[0], masks[1], OBLIQUE)
    np.testing.assert_allclose(first, there.min(axis=1), atol=1e-9)
    np.testing.assert_allclose(second, there.min(axis=0), atol=1e-9)


def surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the voxels of a mask away from the border that have a face on the outside."""
    inside = np.all([np.roll(mask, step, axis) for step in (-1, 1) for axis in range(3)], axis=0)
    return mask & ~inside


def test_upright_axes_give_the_surface_dice_of_monai() -> None:
    axes = np.diag([2.0, 1.5, 3.0])
    first, second = ball(axes, (14, 14, 14), 9.0, size=28), ball(axes, (15, 14, 13), 9.0, size=28)
    masks = [torch.from_numpy(mask > 0) for mask in (first, second)]
    expected = score(first, second, axes, tolerance=1.6).surface_dice
    assert surface_dice(masks[0], masks[1], axes, 1.6) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("normal", [normal for normal in product((-1, 0, 1), repeat=3) if normal[0]])
def test_area_of_a_plane_is_exact_in_every_direction(normal: tuple[int, int, int]) -> None:
    indices = np.indices((24, 24, 24))
    height = np.tensordot(np.array(normal), indices, axes=1)
    mask = torch.from_numpy(height <= np.median(height))
    points, areas = surface_elements(mask, OBLIQUE)
    j, k = (points @ np.linalg.inv(OBLIQUE).T).round()[:, 1:].T - 1  # columns of elements along the first axis
    i = (points @ np.linalg.inv(OBLIQUE).T).round()[:, 0] - 1
    inner = (j >= 9) & (j < 14) & (k >= 9) & (k < 14) & (i >= 0) & (i < 23)  # away from the sides of the grid
    cofactors = np.linalg.det(OBLIQUE) * np.linalg.inv(OBLIQUE).T
    assert areas[inner].sum() == pytest.approx(25 * np.linalg.norm(cofactors @ np.array(normal)))


def test_axes_are_sheared_beyond_rounding() -> None:
    turned = np.linalg.qr(OBLIQUE)[0] * np.array([1.0, 2.0, 3.0])
    assert is_sheared(SHEARED)
    assert not is_sheared(turned)
    assert not is_sheared(turned + 1e-5)
