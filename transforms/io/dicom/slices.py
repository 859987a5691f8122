"""Slices of a DICOM series: read the header of each, check it, and stack them to a volume.

Slices are placed by ImagePositionPatient and ImageOrientationPatient (DICOM PS3.3, C.7.6.2): SliceThickness is not the
distance to the next slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.grid import LPS_TO_RAS, SAME_GRID_VOXELS
from hybridseg.transforms.io.header import unreadable_is_volume_error

from .pixel_data import DicomHeader, check_pixel_data, read_dicom_header
from .stored import StoredInstance

LARGEST_TILT_VOXELS = 0.5
"""Largest sideways shift of a slice against the first, in voxels of their plane."""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A file with an image, not checked yet.

    Args:
        stored: where it is.
        header: its header.
    """

    stored: StoredInstance
    header: DicomHeader

    @property
    def number(self) -> str:
        """SeriesNumber as stored."""
        return self.header.text.get("SeriesNumber", "")

    @property
    def series(self) -> str:
        """SeriesInstanceUID, or the series number if that is empty."""
        return self.header.text.get("SeriesInstanceUID") or f"number {self.number or 'unknown'}"

    @property
    def modality(self) -> str:
        """Modality, such as CT."""
        return self.header.text.get("Modality", "")


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A slice with a checked header.

    Args:
        stored: where it is.
        header: its header.
        shape: columns and rows.
        orientation: (2, 3), unit vectors along a row and along a column, in LPS.
        spacing: (2,), mm from column to column and from row to row.
        position: (3,), centre of the first voxel, in LPS mm.
        bits: bits per voxel.
    """

    stored: StoredInstance
    header: DicomHeader
    shape: tuple[int, int]
    orientation: NDArray[np.float64]
    spacing: NDArray[np.float64]
    position: NDArray[np.float64]
    bits: int

    @property
    def path(self) -> Path:
        """The file, or what names it in errors."""
        return self.stored.path


def read_instance(stored: StoredInstance) -> Instance | None:
    """Read the header of a file; return None if it is not an image, such as a report.

    Raises:
        VolumeError: the file cannot be read.
    """
    with unreadable_is_volume_error(stored.path), stored.open() as stream:
        header = read_dicom_header(stored.path, stream, stored.size)
    return None if header is None else Instance(stored=stored, header=header)


def as_slice(instance: Instance) -> Slice:
    """Check that a file holds one whole slice with a position and one number per voxel, and return it.

    Raises:
        VolumeError: it does not.
    """
    path, text, numbers = instance.stored.path, instance.header.text, instance.header.numbers
    if int(text.get("NumberOfFrames") or 1) > 1:
        raise VolumeError(path, f"{text['NumberOfFrames']} frames", "must be one slice (convert enhanced DICOM first)")
    if (samples := numbers.get("SamplesPerPixel", 1)) > 1:
        raise VolumeError(path, f"{samples} samples per voxel", "must be one number, not a colour")
    check_pixel_data(path, instance.header)
    place: dict[str, NDArray[np.float64]] = {}
    for name, count in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2)):
        try:
            place[name] = np.array([float(number) for number in text.get(name, "").split("\\")])
        except ValueError:
            place[name] = np.array([])
        if place[name].shape != (count,) or not np.isfinite(place[name]).all():
            raise VolumeError(path, f"{name} {text.get(name, '')!r}", f"must be {count} numbers")
    orientation = place["ImageOrientationPatient"].reshape(2, 3)
    if not np.allclose(orientation @ orientation.T, np.eye(2), atol=1e-3):
        raise VolumeError(
            path, f"ImageOrientationPatient {text['ImageOrientationPatient']!r}", "must be unit vectors at right angles"
        )
    return Slice(
        stored=instance.stored,
        header=instance.header,
        shape=(numbers["Columns"], numbers["Rows"]),
        orientation=orientation,
        spacing=place["PixelSpacing"][::-1],  # stored as from row to row, then from column to column
        position=place["ImagePositionPatient"],
        bits=numbers["BitsAllocated"],
    )


def stack(source: PathLike, parts: Sequence[Slice]) -> tuple[list[Slice], NDArray[np.float64]]:
    """Sort slices along their normal, and return them with their affine (4, 4) to RAS mm.

    Raises:
        VolumeError: the slices differ in shape, spacing or orientation, there is only one, two have the same position,
            or the stack is unevenly spaced or tilted.
    """
    first = parts[0]
    for part in parts:
        for name in ("shape", "spacing", "orientation"):
            value, wanted = getattr(part, name), getattr(first, name)
            if not np.allclose(value, wanted, rtol=1e-4, atol=1e-4):
                found = f"{name} {np.array(value).tolist()}, but {np.array(wanted).tolist()} in {first.path.name}"
                raise VolumeError(part.path, found, "all slices of a series must agree")
    if len(parts) < 2:
        raise VolumeError(source, "one slice", "must have at least two, whose distance is the voxel size")
    normal = np.cross(*first.orientation)
    ordered = sorted(parts, key=lambda part: float(part.position @ normal))
    heights = np.array([part.position @ normal for part in ordered])
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    if (same := np.flatnonzero(gaps < 1e-3)).size:
        one, other = ordered[same[0]].path.name, ordered[same[0] + 1].path.name
        raise VolumeError(source, f"{one} and {other} have the same position", "a series must be one volume")
    worst = int(np.abs(gaps - usual).argmax())
    step = (ordered[-1].position - ordered[0].position) / (len(ordered) - 1)
    even = heights[0] + np.arange(len(heights)) * (step @ normal)
    if np.abs(heights - even).max() > SAME_GRID_VOXELS * usual:
        one, other = ordered[worst].path.name, ordered[worst + 1].path.name
        found = f"{one} and {other} are {gaps[worst]:.4g} mm apart, others {usual:.4g} mm"
        raise VolumeError(source, found, "slices must be evenly spaced, and none missing")
    offsets = np.array([part.position - ordered[0].position for part in ordered])
    drift = np.linalg.norm(offsets - np.outer(offsets @ normal, normal), axis=1).max()
    if drift > LARGEST_TILT_VOXELS * first.spacing.min():
        found = f"slices drift {drift:.4g} mm sideways"
        raise VolumeError(source, found, "must be stacked at right angles (correct the gantry tilt first)")
    affine = np.eye(4)
    affine[:3, :3] = np.stack([*(first.orientation * first.spacing[:, None]), step], axis=1)
    affine[:3, 3] = ordered[0].position
    return ordered, LPS_TO_RAS @ affine
