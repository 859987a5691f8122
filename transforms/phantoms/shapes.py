"""Solids as functions of space, in mm: negative inside, positive outside, combined by minimum and maximum.

Constructive solid geometry on signed distance functions (Quilez, https://iquilezles.org/articles/distfunctions).
Deviation: `ellipsoid` is a lower bound of the distance, exact on the surface, since only the surface is drawn. No shape
changes faster than 1 mm per mm, so a value above the distance to a box's corner proves that the box is empty.

    points   coordinates in mm, float32 (3, ...): right, anterior, superior
    field    one value per point, float32 (...)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float32]
Vector = Sequence[float] | NDArray[np.float64]
"""Three numbers: right, anterior, superior."""

Shape = Callable[[Array], Array]
"""Maps points (3, ...) to a field (...) in mm, negative inside."""

EVERYWHERE = float("inf")
"""An infinite radius, which makes an ellipsoid a cylinder."""


def ellipsoid(centre: Vector, radii: Vector, turn: Vector = (0, 0, 0), power: float = 2) -> Shape:
    """Return an ellipsoid; a `power` above 2 makes it boxier.

    Args:
        centre: (right, anterior, superior) in mm.
        radii: semi-axes in mm; `EVERYWHERE` makes it a cylinder along that axis.
        turn: rotation about its own axes, in degrees.
        power: exponent of the superellipsoid.
    """
    matrix = Rotation.from_euler("xyz", turn, degrees=True).inv().as_matrix() / np.asarray(radii, dtype=float)[:, None]
    matrix, offset = matrix.astype(np.float32), (matrix @ np.asarray(centre, dtype=float)).astype(np.float32)
    smallest = np.float32(min(radii))

    def field(points: Array) -> Array:
        unit = np.tensordot(matrix, points, axes=1) - offset.reshape(-1, *[1] * (points.ndim - 1))
        if power == 2:
            return (np.sqrt(np.einsum("i...,i...->...", unit, unit)) - 1) * smallest
        return (np.sum(np.abs(unit) ** np.float32(power), axis=0) ** np.float32(1 / power) - 1) * smallest

    return field


def half_space(normal: Sequence[float], offset: float) -> Shape:
    """Return the half-space less than `offset` mm along `normal`, whose length is at most 1."""
    direction = np.asarray(normal, dtype=np.float32)
    return lambda points: np.tensordot(direction, points, axes=1) - np.float32(offset)


def slabs(normal: Sequence[float], period: float, thickness: float, phase: float = 0.0) -> Shape:
    """Return parallel slabs of `thickness` mm, one every `period` mm along `normal`, starting at `phase` mm."""
    direction = np.asarray(normal, dtype=np.float32) / np.float32(np.linalg.norm(normal))

    def field(points: Array) -> Array:
        along = np.tensordot(direction, points, axes=1) - np.float32(phase - period / 2)
        return np.abs(along % np.float32(period) - np.float32(period / 2)) - np.float32(thickness / 2)

    return field


def union(*shapes: Shape, blend: float = 0.0) -> Shape:
    """Return the union of shapes; `blend` rounds the groove where two meet, over about as many mm."""

    def field(points: Array) -> Array:
        nearest: Array = shapes[0](points)
        for shape in shapes[1:]:
            other = shape(points)
            near = np.maximum(np.float32(blend) - np.abs(nearest - other), 0)
            nearest = np.minimum(nearest, other)
            if blend:
                nearest -= near * near / np.float32(4 * blend)
        return nearest

    return field


def intersection(*shapes: Shape) -> Shape:
    """Return the intersection of shapes."""

    def field(points: Array) -> Array:
        farthest = shapes[0](points)
        for shape in shapes[1:]:
            farthest = np.maximum(farthest, shape(points))
        return farthest

    return field


def complement(shape: Shape) -> Shape:
    """Return the complement of a shape."""
    return lambda points: -shape(points)


def grown(shape: Shape, by: float) -> Shape:
    """Return a shape with its surface moved outwards by about `by` mm, inwards if negative."""
    return lambda points: shape(points) - np.float32(by)


def waves(
    generator: np.random.Generator, amplitude: float, wavelength: float, count: int = 5
) -> Callable[[Array], Array]:
    """Return a smooth random function of space: the sum of `count` plane waves in random directions.

    Args:
        generator: random generator.
        amplitude: standard deviation over space, in the unit of the values.
        wavelength: shortest wavelength, in mm; the longest is three times that.
        count: number of waves.
    """
    directions = generator.normal(size=(count, 3))
    lengths = wavelength * generator.uniform(1, 3, size=(count, 1))
    vectors = (2 * np.pi * directions / np.linalg.norm(directions, axis=1, keepdims=True) / lengths).astype(np.float32)
    phases = generator.uniform(0, 2 * np.pi, size=count).astype(np.float32)
    scale = np.float32(amplitude * np.sqrt(2 / count))

    def field(points: Array) -> Array:
        total = np.zeros(points.shape[1:], dtype=np.float32)
        for vector, phase in zip(vectors, phases, strict=True):
            total += np.sin(np.tensordot(vector, points, axes=1) + phase)
        return total * scale

    return field


def coverage(field: Array) -> Array:
    """Return the fraction of each voxel inside a shape, with the surface approximated by a plane within the voxel.

    Args:
        field: values of a shape at the centres of a grid's voxels (X, Y, Z), at least 2 along each axis.

    Returns:
        Fractions from 0 to 1 (X, Y, Z): 1/2 where the surface passes through the centre.
    """
    change = np.sum(np.abs(np.gradient(field)), axis=0)  # of the field, from one end of the voxel to the other
    return np.clip(0.5 - field / np.maximum(change, 1e-3), 0, 1, dtype=np.float32)
