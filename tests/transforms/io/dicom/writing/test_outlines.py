"""Contours filled by the even-odd rule at voxel centres give the mask back, whatever its shape."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hybridseg.transforms.io.dicom.writing.outlines import outline

from .derived_files import fill


def disc(radius: float, hole: float = 0) -> NDArray[np.bool_]:
    x, y = np.ogrid[:40, :32]
    distance = np.hypot(x - 20, y - 15)
    return (distance < radius) & (distance >= hole)


MASKS = {
    "disc": disc(11),
    "ring": disc(11, 5),
    "island in a ring": disc(11, 6) | disc(3),
    "one voxel": disc(0.5),
    "edge to edge": np.ones((6, 5), bool),
    "two holes": disc(13) & ~np.roll(disc(3), 5, 0) & ~np.roll(disc(3), -5, 0),
    "chessboard": np.indices((9, 8)).sum(0) % 2 == 0,
    "noise": np.random.default_rng(0).random((30, 40)) < 0.5,
    "thin line": np.eye(9, 12, dtype=bool),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_filled_contours_are_the_mask(mask: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(fill(outline(mask), mask.shape), mask)


def test_hole_is_joined_to_the_contour_around_it() -> None:
    (contour,) = outline(MASKS["two holes"])
    assert fill([contour], (40, 32))[20, 15]
    assert not fill([contour], (40, 32))[25, 15]


def test_contour_has_corners_only_and_does_not_repeat_the_first() -> None:
    (contour,) = outline(np.ones((6, 5), bool))
    assert len(contour) == 8
    assert not (contour[0] == contour[-1]).all()


def test_nothing_has_no_contour() -> None:
    assert outline(np.zeros((4, 4), bool)) == []
