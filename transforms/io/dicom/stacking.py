"""Stack slices to a volume: fit evenly spaced planes to their positions, correct a gantry tilt, fill a gap.

Slices of a tilted gantry stay in their planes, each shifted within its own until they lie above one another at right
angles. Only this interpolates, linearly and within planes, so that labels go back to the slices by whole voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.grid import LPS_TO_RAS, SAME_GRID_VOXELS

from .slices import Slice

SIDEWAYS_VOXELS = 0.5
"""Largest sideways shift of a slice that is no tilt, in voxels of its plane."""

TURN_TOLERANCE = 1e-3
"""Largest difference of directions: 0.4 mm at 400 mm from the first voxel."""

STEEPEST_TILT = 45.0
"""Degrees; gantries tilt by 30."""

MOST_FILLED = 1
SAME_POSITION_MM = 1e-3


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Slices in order along their normal, and the grid of their volume.

    Args:
        slices: the slices.
        affine: (4, 4), indices of (column, row, plane) to RAS mm.
        shape: columns, rows and planes.
        planes: (slices,), the plane of each slice; planes without one are filled.
        shifts: (slices, 2), columns and rows from the first voxel of a plane to that of its slice; zero unless tilted.
        notes: what was corrected, a line each.
    """

    slices: Sequence[Slice]
    affine: NDArray[np.float64]
    shape: tuple[int, int, int]
    planes: NDArray[np.int64]
    shifts: NDArray[np.float64]
    notes: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether the volume has the voxels of the slices and no others."""
        return len(self.slices) == self.shape[2] and not self.shifts.any()

    def to_volume(self, voxels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Resample the voxels of the slices (slices, rows, columns) to the volume (planes, rows, columns)."""
        if self.is_plain:
            return voxels
        columns, rows, planes = self.shape
        volume = np.empty((planes, rows, columns), np.float32)
        outside = float(voxels.min())
        for number, shift, plane in zip(self.planes, self.shifts, voxels, strict=True):
            volume[number] = shifted(plane, shift, (columns, rows), outside) if self.shifts.any() else plane
        for number in set(range(planes)) - set(self.planes.tolist()):
            volume[number] = (volume[number - 1] + volume[number + 1]) / 2
        return volume

    def labels_on_slices(self, labels: NDArray[np.integer]) -> NDArray[np.integer]:
        """Resample a label map (columns, rows, planes) to the slices (columns, rows, slices) by nearest neighbour."""
        if self.is_plain:
            return labels
        columns, rows = self.slices[0].shape
        found = [
            labels[first_column : first_column + columns, first_row : first_row + rows, plane]
            for plane, (first_column, first_row) in zip(self.planes, self.shifts.round().astype(int), strict=True)
        ]
        return np.stack(found, axis=2)


def shifted(
    plane: NDArray[np.float32], shift: NDArray[np.float64], size: tuple[int, int], outside: float
) -> NDArray[np.float32]:
    """Shift a plane (rows, columns) by columns and rows into one of another size (columns, rows)."""
    import SimpleITK as sitk  # late: finding the series of a folder needs none

    image = sitk.GetImageFromArray(plane)
    image.SetOrigin(shift.tolist())
    moved = sitk.Resample(
        image, size, sitk.Transform(2, sitk.sitkIdentity), sitk.sitkLinear, (0, 0), (1, 1), (1, 0, 0, 1), outside
    )
    result: NDArray[np.float32] = sitk.GetArrayFromImage(moved)
    return result


def stack(source: PathLike, parts: Sequence[Slice], *, fill_gaps: bool = False) -> Stack:
    """Sort slices along their normal, and find the grid of their volume.

    Planes are fitted to all positions. A slice may be off its plane by a tenth of their distance, or by as much as
    rounding to the stored digits explains.

    Args:
        source: the folder or zip, for errors.
        parts: the slices in any order.
        fill_gaps: interpolate a missing slice.

    Raises:
        VolumeError: the slices differ in shape, spacing or orientation, there is only one, two have the same position,
            they are unevenly spaced or out of line, or more than one is missing.
    """
    check_agreement(parts)
    if len(parts) < 2:
        raise VolumeError(source, "one slice", "must have at least two, whose distance is the voxel size")
    orientation = np.median([part.orientation for part in parts], axis=0)
    normal = np.cross(*orientation)
    ordered = sorted(parts, key=lambda part: float(part.position @ normal))
    positions = np.array([part.position for part in ordered])
    gaps = np.diff(positions @ normal)
    if (same := np.flatnonzero(gaps < SAME_POSITION_MM)).size:
        one, other = ordered[same[0]].name, ordered[same[0] + 1].name
        raise VolumeError(source, f"{one} and {other} have the same position", "a series must be one volume")
    planes = number_planes(gaps) if fill_gaps else np.arange(len(ordered))
    origin, step = fit_planes(positions, planes)
    check_spacing(source, ordered, planes, positions @ normal)
    missing = sorted(set(range(planes[-1] + 1)) - set(planes.tolist()))
    if len(missing) > MOST_FILLED:
        raise VolumeError(source, f"{len(missing)} slices are missing", f"at most {MOST_FILLED} can be filled")
    notes = [f"slice {number + 1} of {planes[-1] + 1} is missing: interpolated" for number in missing]
    spacing = ordered[0].spacing
    strays = np.linalg.norm(across(positions - origin - planes[:, None] * step, normal), axis=1)
    if strays.max() > SIDEWAYS_VOXELS * spacing.min():
        found = f"{ordered[int(strays.argmax())].name} lies {strays.max():.4g} mm beside the line of the others"
        raise VolumeError(source, found, "slices must be stacked in a straight line")
    affine, shape = np.eye(4), ordered[0].shape
    shifts = np.zeros((len(ordered), 2))
    drift = across(step, normal)
    if np.linalg.norm(drift) * planes[-1] > SIDEWAYS_VOXELS * spacing.min():
        tilt = np.degrees(np.arctan2(np.linalg.norm(drift), step @ normal))
        if tilt > STEEPEST_TILT:
            raise VolumeError(source, f"slices tilted by {tilt:.1f}°", f"must be at most {STEEPEST_TILT:g}°")
        notes.append(f"gantry tilt of {tilt:.1f}°: slices shifted in their planes onto an upright grid")
        shifts = np.outer(planes, orientation @ drift / spacing)
        lowest = np.floor(shifts.min(axis=0))
        grown = (np.ceil(shifts.max(axis=0)) - lowest).astype(int)
        shape = (shape[0] + int(grown[0]), shape[1] + int(grown[1]))
        shifts -= lowest
        origin = origin + (lowest * spacing) @ orientation
        step = step - drift
    affine[:3, :3] = np.stack([*(orientation * spacing[:, None]), step], axis=1)
    affine[:3, 3] = origin
    return Stack(
        slices=ordered,
        affine=LPS_TO_RAS @ affine,
        shape=(*shape, int(planes[-1]) + 1),
        planes=planes,
        shifts=shifts,
        notes=tuple(notes),
    )


def check_agreement(parts: Sequence[Slice]) -> None:
    """Check that slices have one shape, voxel size, orientation and frame of reference.

    Raises:
        VolumeError: they do not.
    """
    first = parts[0]
    for part in parts:
        if part.frame_of_reference != first.frame_of_reference:
            found = f"another FrameOfReferenceUID than {first.name}"
            raise VolumeError(part.path, found, "all slices of a series must agree")
        for name, tolerance in (("shape", 0.0), ("spacing", 1e-4), ("orientation", TURN_TOLERANCE)):
            value, wanted = getattr(part, name), getattr(first, name)
            if not np.allclose(value, wanted, rtol=min(tolerance, 1e-4), atol=tolerance):
                found = f"{name} {np.array(value).tolist()}, but {np.array(wanted).tolist()} in {first.name}"
                raise VolumeError(part.path, found, "all slices of a series must agree")


def number_planes(gaps: NDArray[np.float64]) -> NDArray[np.int64]:
    """Number slices by their gaps, so that numbers are left out where slices are missing."""
    steps = np.maximum(1, (gaps / np.median(gaps)).round()).astype(np.int64)
    return np.concatenate([[0], np.cumsum(steps)])


def fit_planes(
    positions: NDArray[np.float64], planes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit positions (slices, 3) by an origin (3,) and a step (3,) from plane to plane: exactly, or by least squares."""
    origin, step = positions[0], (positions[-1] - positions[0]) / planes[-1]
    if np.abs(positions - origin - planes[:, None] * step).max() > SAME_POSITION_MM:
        origin, step = np.polynomial.polynomial.polyfit(planes, positions, 1)
    return origin, step


def across(vectors: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the part of vectors (..., 3) at right angles to the normal."""
    return vectors - (vectors @ normal)[..., None] * normal


def check_spacing(
    source: PathLike, ordered: Sequence[Slice], planes: NDArray[np.int64], heights: NDArray[np.float64]
) -> None:
    """Check that slices lie on evenly spaced planes.

    Args:
        source: the folder or zip, for errors.
        ordered: the slices in order.
        planes: (slices,), number of the plane of each.
        heights: (slices,), mm along the normal.

    Raises:
        VolumeError: they do not.
    """
    gaps = np.diff(heights)
    usual = float(np.median(gaps / np.diff(planes)))
    normal = np.abs(np.cross(*ordered[0].orientation))
    rounding = float(0.5 * 10.0 ** -np.max([part.decimals for part in ordered], axis=0) @ normal)
    allowed = SAME_GRID_VOXELS * usual
    if np.abs(gaps / np.diff(planes) - usual).max() < 0.5 * usual:  # otherwise a missing slice may pass for rounding
        allowed = max(allowed, rounding)
    if distance_from_line(planes, heights) > allowed * (1 + 1e-6):
        worst = int(np.abs(gaps - usual).argmax())
        one, other = ordered[worst].name, ordered[worst + 1].name
        found = f"{one} and {other} are {gaps[worst]:.4g} mm apart, others {usual:.4g} mm"
        raise VolumeError(source, found, "slices must be evenly spaced, and none missing (--fill-gaps fills one)")


def distance_from_line(numbers: NDArray[np.int64], heights: NDArray[np.float64]) -> float:
    """Return the largest distance of heights from the line through their numbers that makes it smallest (Chebyshev)."""
    from scipy.optimize import linprog

    ones = np.ones(len(numbers))
    above, below = np.stack([ones, numbers, -ones], axis=1), np.stack([-ones, -numbers, -ones], axis=1)
    base = heights - heights[0]
    found = linprog([0, 0, 1], np.concatenate([above, below]), np.concatenate([base, -base]), bounds=(None, None))
    return float(found.fun)
