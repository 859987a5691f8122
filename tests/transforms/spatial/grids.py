"""Make grids, and labels and logits on them."""

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
    """Return the affine (4, 4) of a grid from Euler angles in degrees, and spacing and origin in mm."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() * spacing
    affine[:3, 3] = origin
    return affine


def positions(shape: tuple[int, ...], affine: Array, reference_affine: Array) -> Array:
    """Return the positions (3, N) of the N voxels of a grid at `reference_affine` in voxels of the grid at `affine`."""
    indices = np.stack([*np.indices(shape).reshape(3, -1), np.ones(np.prod(shape))])
    return (np.linalg.inv(affine) @ reference_affine @ indices)[:3]


def is_inside(position: Array, size: tuple[int, ...]) -> Array:
    """Mask the positions (3, N), in voxels, that are in a grid, which ends half a voxel beyond its outer centres."""
    return np.all((position >= -0.501) & (position <= np.array(size)[:, None] - 0.499), axis=0)


def ellipsoid(shape: tuple[int, ...], affine: Array, centre: Array, radii: Array) -> Array:
    """Label a grid with 1 inside an ellipsoid along the axes of the world, with centre and radii in mm."""
    world = positions(shape, np.eye(4), affine)
    return (np.linalg.norm((world - centre[:, None]) / radii[:, None], axis=0) < 1).reshape(shape).astype(np.uint8)


def to_logits(labels: Array | Tensor, classes: int) -> Tensor:
    """Return the logits (K, D, H, W) of a perfect network for labels (D, H, W)."""
    return one_hot(torch.as_tensor(labels).long(), classes).movedim(-1, 0).float()
