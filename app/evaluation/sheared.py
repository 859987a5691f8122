"""Surface metrics on a grid whose axes are not at right angles, in millimetres of space, not along the axes.

MONAI measures distances and areas from the spacing, as if the axes were at right angles. Here positions go through the
axes' matrix, and areas through its cofactors. The surfaces are MONAI's: voxels with a face on the outside for HD95 and
ASSD, marching-cubes elements for the surface Dice.
"""

from __future__ import annotations

import numpy as np
import torch
from monai.metrics.utils import _get_neighbour_code_to_normals_table, get_code_to_measure_table, get_mask_edges
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor

RIGHT_ANGLE = 1e-3
"""Largest cosine between two axes that counts as a right angle: files round their axes."""

Surface = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Positions (N, 3) of the elements of a surface, in mm, and their areas (N,), in mm²."""


def is_sheared(axes: NDArray[np.floating]) -> bool:
    """Return whether two of three axes, the columns (3, 3) of an affine, are not at right angles."""
    directions = axes / np.linalg.norm(axes, axis=0)
    return bool(np.abs(directions.T @ directions - np.eye(3)).max() > RIGHT_ANGLE)


def surface_distances(first: Tensor, second: Tensor, axes: NDArray[np.floating]) -> list[Tensor]:
    """Return the distance of each surface voxel of two masks (X, Y, Z) to the other surface, in mm."""
    edges = get_mask_edges(first, second)
    points = [np.argwhere(np.asarray(edge)) @ axes.T for edge in edges]
    return [torch.from_numpy(nearest(*pair)) for pair in (points, points[::-1])]


def surface_dice(first: Tensor, second: Tensor, axes: NDArray[np.floating], tolerance: float) -> float:
    """Return the share of the surfaces of two masks (X, Y, Z) within a tolerance (mm) of the other."""
    surfaces = [surface_elements(mask, axes) for mask in (first, second)]
    (points, areas), (other_points, other_areas) = surfaces
    within = areas[nearest(points, other_points) <= tolerance].sum()
    within += other_areas[nearest(other_points, points) <= tolerance].sum()
    return float(within / (areas.sum() + other_areas.sum()))


def surface_elements(mask: Tensor, axes: NDArray[np.floating]) -> Surface:
    """Return the surface elements of a mask (X, Y, Z), one for each 2 x 2 x 2 voxels that it divides."""
    _, kernel = get_code_to_measure_table((1.0, 1.0, 1.0))
    padded = torch.nn.functional.pad(mask[None, None].float(), [1] * 6)
    codes = torch.nn.functional.conv3d(padded, kernel.float())[0, 0].round().long()
    codes = codes.minimum(255 - codes)  # inside out, a surface has the same area; two normals of the rest lack a sign
    divided = codes != 0
    cofactors = np.linalg.det(axes) * np.linalg.inv(axes).T  # of area vectors, as the axes' matrix of positions
    normals = _get_neighbour_code_to_normals_table().double().numpy()  # (256, elements, 3)
    areas = np.linalg.norm(normals @ cofactors.T, axis=-1).sum(-1)
    return np.argwhere(divided.numpy()) @ axes.T, areas[codes[divided].numpy()]


def nearest(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of each point (N, 3) to the nearest of the others (M, 3)."""
    distances: NDArray[np.float64] = KDTree(others, leafsize=32).query(points)[0]
    return distances
