"""Affines, sizes and comparisons of grids."""

import numpy as np
import pytest

from hybridseg.transforms.grid import (
    affine_problem,
    farthest_corner,
    grid_difference,
    label_dtype,
    size_problem,
    voxel_lengths,
    voxel_volume_ml,
)

TURNED = np.array([[0, -2.0, 0, 5], [1.5, 0, 0, 7], [0, 0, 3, -20], [0, 0, 0, 1]])


def test_voxel_lengths_of_a_rotated_grid() -> None:
    np.testing.assert_allclose(voxel_lengths(TURNED), [1.5, 2, 3])


def test_voxel_volume_is_that_of_the_parallelepiped() -> None:
    assert voxel_volume_ml(TURNED) == pytest.approx(1.5 * 2 * 3 / 1000)
    sheared = TURNED @ np.array([[1, 0.5, 0, 0], [0, 1, 0.3, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert voxel_volume_ml(sheared) == pytest.approx(voxel_volume_ml(TURNED))


@pytest.mark.parametrize(("largest", "dtype"), [(0, np.uint8), (255, np.uint8), (256, np.uint16), (65535, np.uint16)])
def test_label_dtype_is_the_smallest(largest: int, dtype: type) -> None:
    assert label_dtype(largest) is dtype


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_scale_alone_is_no_problem(scale: float) -> None:
    assert affine_problem(TURNED * [[scale], [scale], [scale], [1]]) is None


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        ([0, 0, 0], "voxels of 0 x 2 x 3 mm"),
        ([-4, 0, 0], "singular affine"),
        ([-4, 0, 1e-9], "singular affine"),
        ([np.nan, 1, 1], "NaN or infinity"),
    ],
)
def test_invalid_affines_are_reported(column: list[float], problem: str) -> None:
    affine = TURNED.copy()
    affine[:3, 0] = column
    assert problem in (affine_problem(affine) or "")


def test_farthest_corner_equals_a_search_over_all_voxels() -> None:
    shape = (4, 5, 6)
    other = TURNED + np.random.default_rng(0).normal(scale=0.1, size=(4, 4)) * [[1], [1], [1], [0]]
    voxels = np.array([[*index, 1] for index in np.ndindex(shape)])
    distances = np.linalg.norm(voxels @ (TURNED - other).T, axis=1)
    assert farthest_corner(TURNED, other, shape) == pytest.approx(distances.max())


def test_grids_differ_by_shape_or_a_tenth_of_a_voxel() -> None:
    shape = (4, 5, 6)
    moved = TURNED.copy()
    assert grid_difference(shape, moved, shape, TURNED) is None
    moved[0, 3] += 0.1
    assert grid_difference(shape, moved, shape, TURNED) is None
    moved[0, 3] += 0.1
    assert "up to 0.2 mm elsewhere" in (grid_difference(shape, moved, shape, TURNED) or "")
    assert grid_difference((4, 5, 7), TURNED, shape, TURNED) == "shape (4, 5, 7) instead of (4, 5, 6)"


@pytest.mark.parametrize(("scale", "problem"), [(1e-3, "a volume of 0.006 x 0.01 x 0.018 mm"), (1.0, ""), (1e3, "mm")])
def test_volumes_in_metres_or_micrometres_are_reported(scale: float, problem: str) -> None:
    assert problem in (size_problem((4, 5, 6), TURNED @ np.diag([scale, scale, scale, 1])) or "")
    assert bool(problem) == bool(size_problem((4, 5, 6), TURNED @ np.diag([scale, scale, scale, 1])))


def test_volume_too_far_from_the_origin_is_reported() -> None:
    far = TURNED.copy()
    far[0, 3] = 1e8
    assert size_problem((4, 5, 6), far) == "a volume 1e+08 mm from the origin"
