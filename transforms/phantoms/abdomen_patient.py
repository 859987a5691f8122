"""The patient of a phantom CT: tissues in coordinates of the body, and the pose of the body in the world.

Coordinates are (right, anterior, superior) in mm from the middle of the abdomen at the height of the kidneys' upper
halves. Tissues are drawn in coordinates of the body; the patient's size, pose and deformation lead to those of the
world.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .shapes import Array, Shape

ORGANS = {1: "liver", 2: "spleen", 3: "kidney_left", 4: "kidney_right", 5: "spine"}
"""Name of each label; 0 is everything else."""

SPINE = 5

VERTEBRAE = {SPINE + level: f"vertebra_{level + 1}" for level in range(8)}
"""Names of the labels that can replace the spine, from the lowest vertebra up."""

VERTEBRA_HEIGHT = 33.0
"""Distance from the middle of a disc to that of the next, in mm of the body."""

AIR = -1000.0
HALF_WIDTH, HALF_DEPTH, HALF_HEIGHT = 168.0, 116.0, 118.0
"""Half of the body's width and depth, and of the scanned height, in mm of the body."""


@dataclass(frozen=True)
class Tissue:
    """A shape in coordinates of the body, its density in HU, and its organ label (0: none)."""

    shape: Shape
    hounsfield: float
    organ: int = 0


@dataclass(frozen=True)
class Patient:
    """Tissues in drawing order, later ones over earlier ones, and the pose of the body in the world."""

    tissues: tuple[Tissue, ...]
    pose: NDArray[np.float64]
    """Matrix (3, 3) from coordinates of the body to those of the world: size and rotation."""
    displacement: tuple[Callable[[Array], Array], ...]
    """Smooth displacement along each of the three axes, in mm."""
    vertebra: float
    """Height of the middle of the fifth vertebra from below, in mm of the body."""

    def body_points(self, points: Array) -> Array:
        """Map coordinates of the world (3, ...) to those of the body (3, ...), both in mm."""
        moved = points + np.stack([displacement(points) for displacement in self.displacement])
        return np.tensordot(np.linalg.inv(self.pose).astype(np.float32), moved, axes=1)

    def vertebrae(self, height: Array) -> NDArray[np.uint8]:
        """Return the label of the vertebra at a height in mm of the body; the first and last extend to the ends."""
        level = np.rint((height - np.float32(self.vertebra)) / np.float32(VERTEBRA_HEIGHT)) + 4
        return (SPINE + np.clip(level, 0, len(VERTEBRAE) - 1)).astype(np.uint8)
