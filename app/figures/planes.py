"""The three planes of a volume along the axes of the patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Volume = NDArray[Any]


@dataclass(frozen=True)
class Plane:
    """A plane through a volume whose axes are right, anterior and superior.

    Args:
        name: what radiologists call it.
        axis: the axis across it.
        sides: what is to the left, right, bottom and top of the picture; the patient's right is on the left.
    """

    name: str
    axis: int
    sides: str

    def cut(self, volume: Volume, index: int) -> Volume:
        """The plane (rows from bottom to top, columns from left to right) at an index of its axis."""
        return np.flip(np.take(volume, index, self.axis).T, axis=1)

    @property
    def axes(self) -> tuple[int, int]:
        """The axes along its width and height."""
        return (0 if self.axis else 1), (1 if self.axis == 2 else 2)

    def size(self, lengths: Sequence[float]) -> tuple[float, float]:
        """Width and height in mm, given those of the volume's axes."""
        return lengths[self.axes[0]], lengths[self.axes[1]]


PLANES = (Plane("axial", 2, "RLPA"), Plane("coronal", 1, "RLIS"), Plane("sagittal", 0, "APIS"))
