"""The axial, coronal and sagittal plane of a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Volume = NDArray[Any]
"""Values (X, Y, Z) with axes to the right, anterior and superior, or a plane of them (rows, columns)."""


@dataclass(frozen=True)
class Plane:
    """A plane through a volume with axes to the right, anterior and superior.

    Args:
        name: its anatomical name.
        axis: the axis perpendicular to it.
        sides: the patient's sides at the left, right, bottom and top of the picture; right is on the left.
    """

    name: str
    axis: int
    sides: str

    def cut(self, volume: Volume, index: int) -> Volume:
        """Return the slice (rows from bottom to top, columns from left to right) at an index of its axis."""
        return np.flip(np.take(volume, index, self.axis).T, axis=1)

    @property
    def axes(self) -> tuple[int, int]:
        """The axes along its width and height."""
        return (0 if self.axis else 1), (1 if self.axis == 2 else 2)

    def size(self, lengths: Sequence[float]) -> tuple[float, float]:
        """Return its width and height in mm, given the lengths of the volume's axes in mm."""
        return lengths[self.axes[0]], lengths[self.axes[1]]


PLANES = (Plane("axial", 2, "RLPA"), Plane("coronal", 1, "RLIS"), Plane("sagittal", 0, "APIS"))
