"""Planes are cut and labelled in radiological convention."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hybridseg.app.figures.planes import PLANES, Plane


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.name)
def test_each_side_is_at_its_edge(plane: Plane) -> None:
    ends = {"R": (0, -1), "L": (0, 0), "A": (1, -1), "P": (1, 0), "S": (2, -1), "I": (2, 0)}
    edges: list[Any] = [np.s_[:, 0], np.s_[:, -1], np.s_[0], np.s_[-1]]  # left, right, bottom, top
    for letter, edge in zip(plane.sides, edges, strict=True):
        volume: NDArray[np.float32] = np.zeros((4, 5, 6), dtype=np.float32)
        axis, end = ends[letter]
        np.moveaxis(volume, axis, 0)[end] = 1
        assert plane.cut(volume, 1)[edge].all(), letter


def test_right_is_on_the_left() -> None:
    assert [plane.sides[:2] for plane in PLANES] == ["RL", "RL", "AP"]
