"""Slices of a DICOM series: read the header of each, check it, and stack them to a volume.

Slices are placed by ImagePositionPatient and ImageOrientationPatient (DICOM PS3.3, C.7.6.2): SliceThickness is not the
distance to the next slice.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.grid import LPS_TO_RAS, SAME_GRID_VOXELS
from hybridseg.transforms.io.header import unreadable_is_volume_error
from hybridseg.transforms.io.itk import quiet_itk

LARGEST_TILT_VOXELS = 0.5
"""Largest sideways shift of a slice against the first, in voxels of their plane."""

MODALITY, SERIES_UID, SERIES_NUMBER, DESCRIPTION = "0008|0060", "0020|000e", "0020|0011", "0008|103e"
POSITION, ORIENTATION, SPACING, FRAMES = "0020|0032", "0020|0037", "0028|0030", "0028|0008"
SAMPLES, BITS = "0028|0002", "0028|0100"
TAGS = (MODALITY, SERIES_UID, SERIES_NUMBER, DESCRIPTION, POSITION, ORIENTATION, SPACING, FRAMES, SAMPLES, BITS)
"""Tags that are kept of each file; private tags of manufacturers may be long."""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A file with an image, not checked yet.

    Args:
        path: the file.
        tags: values of those `TAGS` that it has, by group and element.
        shape: columns and rows.
    """

    path: Path
    tags: Mapping[str, str]
    shape: tuple[int, int]

    @property
    def number(self) -> str:
        """SeriesNumber as stored."""
        return self.tags.get(SERIES_NUMBER, "")

    @property
    def series(self) -> str:
        """SeriesInstanceUID, or the series number if that is empty."""
        return self.tags.get(SERIES_UID) or f"number {self.number or 'unknown'}"

    @property
    def title(self) -> str:
        """Modality and description of the series."""
        return " ".join(filter(None, (self.tags.get(MODALITY), self.tags.get(DESCRIPTION))))


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A slice with a checked header.

    Args:
        path: the file.
        shape: columns and rows.
        orientation: (2, 3), unit vectors along a row and along a column, in LPS.
        spacing: (2,), mm from column to column and from row to row.
        position: (3,), centre of the first voxel, in LPS mm.
        bits: bits per voxel.
    """

    path: Path
    shape: tuple[int, int]
    orientation: NDArray[np.float64]
    spacing: NDArray[np.float64]
    position: NDArray[np.float64]
    bits: int


def read_instance(path: Path) -> Instance | None:
    """Read the tags of a file; return None if it has no image, such as a report.

    Raises:
        VolumeError: the file cannot be read.
    """
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(os.fspath(path))
    with unreadable_is_volume_error(path):
        try:
            with quiet_itk():
                reader.ReadImageInformation()
        except RuntimeError:
            if has_image(path):
                raise
            return None
    columns, rows = reader.GetSize()[:2]
    tags = {key: reader.GetMetaData(key).strip(" \0") for key in TAGS if reader.HasMetaDataKey(key)}
    return Instance(path=path, tags=tags, shape=(columns, rows))


def as_slice(instance: Instance) -> Slice:
    """Check that a file holds one slice with a position and one number per voxel, and return it.

    Raises:
        VolumeError: it does not.
    """
    path, tags = instance.path, instance.tags
    if int(tags.get(FRAMES) or 1) > 1:
        raise VolumeError(path, f"{tags[FRAMES]} frames", "must be one slice (convert enhanced DICOM first)")
    if int(tags.get(SAMPLES) or 1) > 1:
        raise VolumeError(path, f"{tags[SAMPLES]} samples per voxel", "must be one number, not a colour")
    place: dict[str, NDArray[np.float64]] = {}
    for tag, name, count in (
        (POSITION, "ImagePositionPatient", 3),
        (ORIENTATION, "ImageOrientationPatient", 6),
        (SPACING, "PixelSpacing", 2),
    ):
        try:
            place[tag] = np.array([float(number) for number in tags.get(tag, "").split("\\")])
        except ValueError:
            place[tag] = np.array([])
        if place[tag].shape != (count,) or not np.isfinite(place[tag]).all():
            raise VolumeError(path, f"{name} {tags.get(tag, '')!r}", f"must be {count} numbers")
    orientation = place[ORIENTATION].reshape(2, 3)
    if not np.allclose(orientation @ orientation.T, np.eye(2), atol=1e-3):
        raise VolumeError(
            path, f"ImageOrientationPatient {tags[ORIENTATION]!r}", "must be unit vectors at right angles"
        )
    return Slice(
        path=path,
        shape=instance.shape,
        orientation=orientation,
        spacing=place[SPACING][::-1],  # stored as from row to row, then from column to column
        position=place[POSITION],
        bits=int(tags.get(BITS) or 16),
    )


def has_image(path: Path) -> bool:
    """Return whether a file, possibly damaged, has the tag of pixel data (7FE0,0010) or of Rows (0028,0010)."""
    data = path.read_bytes()
    return b"\xe0\x7f\x10\x00" in data or b"\x28\x00\x10\x00" in data


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
