"""Grids in space, and what lies on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn.functional import one_hot

Array = NDArray[Any]


def make_affine(
    turn: tuple[float, ...], spacing: tuple[float, ...], origin: tuple[float, ...] = (12, -34, 56)
) -> Array:
    """Affine (4, 4) of a grid turned by Euler angles in degrees, with a spacing and an origin in mm."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() * spacing
    affine[:3, 3] = origin
    return affine


def positions(shape: tuple[int, ...], affine: Array, reference_affine: Array) -> Array:
    """Where the N voxels of a shape at `reference_affine` lie in the grid at `affine`, in its voxels: (3, N)."""
    indices = np.stack([*np.indices(shape).reshape(3, -1), np.ones(np.prod(shape))])
    return (np.linalg.inv(affine) @ reference_affine @ indices)[:3]


def is_inside(position: Array, size: tuple[int, ...]) -> Array:
    """Which of positions (3, N), in voxels of a grid of a size, are in the grid, half a voxel around its centres."""
    return np.all((position >= -0.501) & (position <= np.array(size)[:, None] - 0.499), axis=0)


def ellipsoid(shape: tuple[int, ...], affine: Array, centre: Array, radii: Array) -> Array:
    """Labels of a grid: 1 inside an ellipsoid with axes along the world's, centre and radii in mm."""
    world = positions(shape, np.eye(4), affine)
    return (np.linalg.norm((world - centre[:, None]) / radii[:, None], axis=0) < 1).reshape(shape).astype(np.uint8)


def to_logits(labels: Array | Tensor, classes: int) -> Tensor:
    """Logits (K, D, H, W) that a perfect network would give for labels (D, H, W)."""
    return one_hot(torch.as_tensor(labels).long(), classes).movedim(-1, 0).float()
