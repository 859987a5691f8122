"""A DICOM series as a volume: which files belong together, in which order, and where their voxels are.

Slices are placed by ImagePositionPatient and ImageOrientationPatient (DICOM PS3.3, C.7.6.2): SliceThickness is how
thick a slice is, not how far it is from the next. A series that is no even stack of slices is refused with the reason.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from monai.data import ImageReader
from numpy.typing import NDArray

from .errors import VolumeError
from .geometry import SAME_GRID_VOXELS
from .headers import LPS_TO_RAS, VolumeHeader, quiet_itk, unreadable_is_volume_error
from .readers import volume_metadata

PathLike = str | os.PathLike[str]

MAGIC_OFFSET, MAGIC = 128, b"DICM"
DICOM_EXTENSIONS = (".dcm", ".ima")
ZIP_EXTENSION = ".zip"
LARGEST_TILT_VOXELS = 0.5
"""Farthest that slices may drift sideways over the whole stack, in voxels of their plane."""

MODALITY, SERIES_UID, SERIES_NUMBER, DESCRIPTION = "0008|0060", "0020|000e", "0020|0011", "0008|103e"
POSITION, ORIENTATION, SPACING, FRAMES = "0020|0032", "0020|0037", "0028|0030", "0028|0008"
SAMPLES, BITS = "0028|0002", "0028|0100"


@dataclass(frozen=True)
class DicomFolder(os.PathLike[str]):
    """Where the slices of a volume are, and which series of those there is meant.

    Args:
        path: a folder that holds files of slices, or a zip of one.
        series: SeriesInstanceUID, or SeriesNumber; None where there is only one.
    """

    path: Path
    series: str | None = None

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, kw_only=True)
class Slice:
    """What a file says about its slice.

    Args:
        path: the file.
        series: SeriesInstanceUID, or the series number where that is empty.
        number: SeriesNumber, as it stands there.
        title: modality and description of the series, for people.
        shape: columns and rows.
        orientation: (2, 3), unit vectors along a row and along a column, in LPS.
        spacing: (2,), mm from column to column and from row to row.
        position: (3,), centre of the first voxel, in LPS mm.
        bits: of a voxel.
    """

    path: Path
    series: str
    number: str
    title: str
    shape: tuple[int, int]
    orientation: NDArray[np.float64]
    spacing: NDArray[np.float64]
    position: NDArray[np.float64]
    bits: int


@dataclass(frozen=True, kw_only=True)
class DicomSeries:
    """An even stack of slices.

    Args:
        path: the folder or zip that was asked for.
        slices: in order along the normal of their plane.
        affine: (4, 4), indices of (column, row, slice) to RAS mm.
    """

    path: Path
    slices: Sequence[Slice]
    affine: NDArray[np.float64]

    @property
    def files(self) -> list[Path]:
        """The file of each slice, in order."""
        return [part.path for part in self.slices]

    @property
    def header(self) -> VolumeHeader:
        """Shape, voxel type and place, as of any volume."""
        shape = (*self.slices[0].shape, len(self.slices))
        bits = self.slices[0].bits
        return VolumeHeader(
            shape=shape,
            voxel_type=f"{bits}-bit",
            is_numeric=True,
            affine=self.affine,
            voxel_bytes=int(np.prod(shape)) * bits // 8,
            capacity=None,
        )


class DicomReader(ImageReader):
    """Reads a series through SimpleITK, with the rescaling of each slice applied: HU for CT.

    Args:
        series: what to read; the path that MONAI hands to a reader is not looked at.
    """

    def __init__(self, series: DicomSeries) -> None:
        self.series = series

    def verify_suffix(self, filename: Any) -> bool:
        """True: whatever holds the series."""
        return True

    def read(self, data: Any, **kwargs: Any) -> sitk.Image:
        """Read all slices as float32."""
        reader = sitk.ImageSeriesReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileNames([os.fspath(file) for file in self.series.files])
        reader.SetOutputPixelType(sitk.sitkFloat32)
        with quiet_itk():
            return reader.Execute()

    def get_data(self, img: sitk.Image) -> tuple[NDArray[Any], dict[str, Any]]:
        """Give voxels (columns, rows, slices) and the metadata that MONAI expects."""
        array = sitk.GetArrayViewFromImage(img).T
        return array, volume_metadata(array, self.series.affine)


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its first bytes, or at least by its extension."""
    if path.name == "DICOMDIR" or path.name.startswith(".") or not path.is_file():
        return False
    with path.open("rb") as file:
        file.seek(MAGIC_OFFSET)
        return file.read(len(MAGIC)) == MAGIC or path.suffix.lower() in DICOM_EXTENSIONS


@contextmanager
def open_series(source: PathLike) -> Iterator[DicomSeries]:
    """Find the slices of a series and check that they are a volume; those of a zip are there while the block lasts.

    Args:
        source: a folder or a zip, or a `DicomFolder`, which tells the series too.

    Raises:
        VolumeError: nothing that can be read, several series of which none was chosen, or no even stack of slices.
    """
    asked = source if isinstance(source, DicomFolder) else DicomFolder(Path(source))
    if asked.path.is_dir():
        yield find_series(asked, asked.path)
        return
    with unreadable_is_volume_error(asked.path), zipfile.ZipFile(asked.path) as archive:
        archive.testzip()
        members = [member for member in archive.infolist() if not member.is_dir()]
        with tempfile.TemporaryDirectory(prefix="hybridseg-") as folder:
            extract(archive, members, Path(folder))
            yield find_series(asked, Path(folder))


def extract(archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo], folder: Path) -> None:
    """Write the files of an archive flat into a folder, numbered: their own names may lead anywhere.

    Raises:
        ValueError: there is no room for what they claim to be.
    """
    claimed, room = sum(member.file_size for member in members), shutil.disk_usage(folder).free
    if claimed > room:
        raise ValueError(f"{claimed} bytes when unpacked, {room} are free")
    for index, member in enumerate(members):
        file = folder / f"{index:06d}{Path(member.filename).suffix.lower()[:5]}"
        with archive.open(member) as packed, file.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)


def find_series(asked: DicomFolder, folder: Path) -> DicomSeries:
    """The series that is asked for, among the files directly in a folder.

    Raises:
        VolumeError: see `open_series`.
    """
    slices = [read_slice(file) for file in sorted(folder.iterdir()) if is_dicom(file)]
    by_series: dict[str, list[Slice]] = {}
    for part in slices:
        if part is not None:
            by_series.setdefault(part.series, []).append(part)
    if not by_series:
        raise VolumeError(asked, "no DICOM images", "must hold the slices of a series")
    if asked.series is not None:
        found = {name: parts for name, parts in by_series.items() if asked.series in (name, parts[0].number)}
        if not found:
            raise VolumeError(asked, f"no series {asked.series!r}", f"must be one of {listed(by_series.values())}")
        by_series = found
    if len(by_series) > 1:
        raise VolumeError(asked, f"{len(by_series)} series", f"one must be chosen of {listed(by_series.values())}")
    (parts,) = by_series.values()
    ordered, affine = stack(asked, parts)
    return DicomSeries(path=asked.path, slices=ordered, affine=affine)


def listed(series: Any) -> str:
    """Series in a line, for people to choose from."""
    return ", ".join(f"{parts[0].series} ({parts[0].title}, {len(parts)} slices)" for parts in series)


def read_slice(path: Path) -> Slice | None:
    """What a file says about its slice; None for a file without an image, such as a report.

    Raises:
        VolumeError: the file cannot be read, or holds anything but one slice with a place and one number at each voxel.
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
    tags = {key: reader.GetMetaData(key).strip(" \0") for key in reader.GetMetaDataKeys()}
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
    columns, rows = reader.GetSize()[:2]
    number = tags.get(SERIES_NUMBER, "")
    return Slice(
        path=path,
        series=tags.get(SERIES_UID) or f"number {number or 'unknown'}",
        number=number,
        title=" ".join(filter(None, (tags.get(MODALITY), tags.get(DESCRIPTION)))),
        shape=(columns, rows),
        orientation=orientation,
        spacing=place[SPACING][::-1],  # stored as from row to row, then from column to column
        position=place[POSITION],
        bits=int(tags.get(BITS) or 16),
    )


def has_image(path: Path) -> bool:
    """Whether the tag of pixel data (7FE0,0010), or its beginning of a damaged file, stands anywhere in a file."""
    data = path.read_bytes()
    return b"\xe0\x7f\x10\x00" in data or b"\x28\x00\x10\x00" in data


def stack(asked: DicomFolder, parts: Sequence[Slice]) -> tuple[list[Slice], NDArray[np.float64]]:
    """Put slices in order along their normal, from which their affine (4, 4) to RAS mm follows.

    Raises:
        VolumeError: they differ in shape, spacing or orientation, are one only or tilted, lie at one place or unevenly.
    """
    first = parts[0]
    for part in parts:
        for name in ("shape", "spacing", "orientation"):
            value, wanted = getattr(part, name), getattr(first, name)
            if not np.allclose(value, wanted, rtol=1e-4, atol=1e-4):
                told = f"{name} {np.array(value).tolist()}, but {np.array(wanted).tolist()} in {first.path.name}"
                raise VolumeError(part.path, told, "all slices of a series must agree")
    if len(parts) < 2:
        raise VolumeError(asked, "one slice", "must have two at least, whose distance tells how long a voxel is")
    normal = np.cross(*first.orientation)
    ordered = sorted(parts, key=lambda part: float(part.position @ normal))
    heights = np.array([part.position @ normal for part in ordered])
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    if (same := np.flatnonzero(gaps < 1e-3)).size:
        one, other = ordered[same[0]].path.name, ordered[same[0] + 1].path.name
        raise VolumeError(asked, f"{one} and {other} lie at one place", "a series must be one volume")
    worst = int(np.abs(gaps - usual).argmax())
    step = (ordered[-1].position - ordered[0].position) / (len(ordered) - 1)
    even = heights[0] + np.arange(len(heights)) * (step @ normal)
    if np.abs(heights - even).max() > SAME_GRID_VOXELS * usual:
        one, other = ordered[worst].path.name, ordered[worst + 1].path.name
        told = f"{one} and {other} are {gaps[worst]:.4g} mm apart, others {usual:.4g} mm"
        raise VolumeError(asked, told, "slices must be evenly spaced, and none missing")
    drift = np.linalg.norm((step - (step @ normal) * normal) * (len(ordered) - 1))
    if drift > LARGEST_TILT_VOXELS * first.spacing.min():
        told = f"slices drift {drift:.4g} mm sideways"
        raise VolumeError(asked, told, "must be stacked at right angles (correct the gantry tilt first)")
    affine = np.eye(4)
    affine[:3, :3] = np.stack([*(first.orientation * first.spacing[:, None]), step], axis=1)
    affine[:3, 3] = ordered[0].position
    return ordered, LPS_TO_RAS @ affine
