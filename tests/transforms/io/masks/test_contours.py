"""A voxel is inside contours if its centre is, whichever way holes are stored."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from hybridseg.transforms.io.masks.contours import fill_contours

SHAPE = (12, 10, 6)
AFFINE = np.array([[0.8, 0.1, 0, 5], [-0.1, 0.8, 0, 3], [0, 0, 2.5, -40], [0, 0, 0, 1.0]])
OUTER, INNER = [(1, 1), (9, 1), (9, 8), (1, 8)], [(3, 3), (6, 3), (6, 6), (3, 6)]


def contour(points: ArrayLike, height: float = 2.0) -> NDArray[np.float64]:
    """Return points of a slice, in voxel indices, as a contour in LPS mm."""
    flat = np.asarray(points, dtype=np.float64) + 0.25
    indices = np.concatenate([flat, np.full((len(flat), 1), height)], axis=1)
    return (indices @ AFFINE[:3, :3].T + AFFINE[:3, 3]) * [-1, -1, 1]


def fill(*contours: NDArray[np.float64]) -> NDArray[np.bool_]:
    return fill_contours(contours, SHAPE, AFFINE)


def ring() -> NDArray[np.bool_]:
    expected = np.zeros(SHAPE, bool)
    expected[2:10, 2:9, 2] = True
    expected[4:7, 4:7, 2] = False
    return expected


def test_an_inner_contour_is_a_hole() -> None:
    np.testing.assert_array_equal(fill(contour(OUTER), contour(INNER)), ring())
    np.testing.assert_array_equal(fill(contour(INNER[::-1]), contour(OUTER)), ring())


def test_a_keyhole_is_a_hole() -> None:
    keyhole = [*OUTER, OUTER[0], *INNER, INNER[0]]  # closes back along the channel
    np.testing.assert_array_equal(fill(contour(keyhole)), ring())


def test_a_slanted_polygon_equals_a_test_of_each_voxel() -> None:
    from matplotlib.path import Path

    angles = np.sort(np.random.default_rng(0).uniform(0, 2 * np.pi, 40))
    star = np.stack([5 + 4 * np.cos(angles), 4.5 + 4 * np.sin(angles)], axis=1)
    grid = np.stack(np.meshgrid(np.arange(12), np.arange(10), indexing="ij"), axis=-1).reshape(-1, 2)
    expected = Path(star + 0.25).contains_points(grid).reshape(12, 10)
    np.testing.assert_array_equal(fill(contour(star))[:, :, 2], expected)


def test_adjacent_contours_share_no_voxel() -> None:
    left, right = [(1, 1), (5, 1), (5, 8), (1, 8)], [(5, 1), (9, 1), (9, 8), (5, 8)]
    both = [fill(contour(np.asarray(points) - 0.25)) for points in (left, right)]
    assert not (both[0] & both[1]).any()
    np.testing.assert_array_equal(both[0] | both[1], fill(contour(np.asarray(OUTER) - 0.25)))


def test_what_lies_outside_the_image_is_cut_off() -> None:
    mask = fill(contour([(-50, -50), (50, -50), (50, 50), (-50, 50)]))
    assert mask[:, :, 2].all()
    assert mask.sum() == 120


def test_a_contour_between_slices_counts_for_the_nearer() -> None:
    mask = fill(contour(OUTER, height=3.4))
    np.testing.assert_array_equal(mask.any(axis=(0, 1)), [False, False, False, True, False, False])


def test_of_denser_contours_the_nearest_plane_counts() -> None:
    np.testing.assert_array_equal(fill(contour(OUTER, 1.6), contour(INNER, 2.1)), fill(contour(INNER, 2.0)))


def test_slices_may_be_along_any_axis() -> None:
    flat = contour(OUTER)
    turned = AFFINE[:, [2, 0, 1, 3]]
    np.testing.assert_array_equal(fill_contours([flat], (6, 12, 10), turned), fill(flat).transpose(2, 0, 1))


def test_two_points_enclose_nothing() -> None:
    assert not fill(contour(OUTER[:2])).any()


def test_contours_across_slices_are_an_error() -> None:
    slanted = contour(OUTER)
    slanted[0, 2] += 2
    with pytest.raises(ValueError, match=r"a contour that crosses 0.8 slices: must lie in a slice"):
        fill(slanted)


def test_contours_on_every_second_slice_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"contours 2 slices apart: must be drawn on the slices of the image"):
        fill(*(contour(OUTER, height) for height in (0, 2, 4)))


def test_contours_of_two_lesions_may_be_far_apart() -> None:
    mask = fill(*(contour(OUTER, height) for height in (0, 1, 4, 5)))
    np.testing.assert_array_equal(mask.any(axis=(0, 1)), [True, True, False, False, True, True])
