"""Questions about grids."""

import numpy as np
import pytest

from hybridseg.transforms.grid import affine_problem, farthest_corner, grid_difference, size_problem, voxel_lengths

TURNED = np.array([[0, -2.0, 0, 5], [1.5, 0, 0, 7], [0, 0, 3, -20], [0, 0, 0, 1]])


def test_voxel_lengths_are_those_of_the_axes() -> None:
    np.testing.assert_allclose(voxel_lengths(TURNED), [1.5, 2, 3])


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_scale_alone_is_no_fault(scale: float) -> None:
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
def test_faults_are_found(column: list[float], problem: str) -> None:
    affine = TURNED.copy()
    affine[:3, 0] = column
    assert problem in (affine_problem(affine) or "")


def test_farthest_corner_equals_a_search_over_all_voxels() -> None:
    shape = (4, 5, 6)
    other = TURNED + np.random.default_rng(0).normal(scale=0.1, size=(4, 4)) * [[1], [1], [1], [0]]
    voxels = np.array([[*index, 1] for index in np.ndindex(shape)])
    distances = np.linalg.norm(voxels @ (TURNED - other).T, axis=1)
    assert farthest_corner(TURNED, other, shape) == pytest.approx(distances.max())


def test_grids_differ_by_shape_and_by_more_than_a_tenth_of_a_voxel() -> None:
    shape = (4, 5, 6)
    moved = TURNED.copy()
    assert grid_difference(shape, moved, shape, TURNED) is None
    moved[0, 3] += 0.1
    assert grid_difference(shape, moved, shape, TURNED) is None
    moved[0, 3] += 0.1
    assert "up to 0.2 mm elsewhere" in (grid_difference(shape, moved, shape, TURNED) or "")
    assert grid_difference((4, 5, 7), TURNED, shape, TURNED) == "shape (4, 5, 7) instead of (4, 5, 6)"


@pytest.mark.parametrize(("scale", "problem"), [(1e-3, "a volume of 0.006 x 0.01 x 0.018 mm"), (1.0, ""), (1e3, "mm")])
def test_a_volume_in_metres_or_micrometres_is_found(scale: float, problem: str) -> None:
    assert problem in (size_problem((4, 5, 6), TURNED @ np.diag([scale, scale, scale, 1])) or "")
    assert bool(problem) == bool(size_problem((4, 5, 6), TURNED @ np.diag([scale, scale, scale, 1])))


def test_a_volume_beyond_what_float32_can_place_is_found() -> None:
    far = TURNED.copy()
    far[0, 3] = 1e8
    assert size_problem((4, 5, 6), far) == "a volume 1e+08 mm from the origin"
