"""A DICOM series as a volume: which files of a folder or a zip belong together, and their voxels.

A series that is no even stack of slices is refused with the reason.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from monai.data import ImageReader
from numpy.typing import NDArray

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.io.header import VolumeHeader, unreadable_is_volume_error
from hybridseg.transforms.io.itk import quiet_itk
from hybridseg.transforms.io.metadata import volume_metadata

from .slices import Instance, Slice, as_slice, read_instance, stack

MAGIC_OFFSET, MAGIC = 128, b"DICM"
DICOM_EXTENSIONS = (".dcm", ".ima")
ZIP_EXTENSION = ".zip"


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
    with tempfile.TemporaryDirectory(prefix="hybridseg-") as folder:
        with unreadable_is_volume_error(asked.path), zipfile.ZipFile(asked.path) as archive:
            extract(archive, Path(folder))
        yield find_series(asked, Path(folder))


def extract(archive: zipfile.ZipFile, folder: Path) -> None:
    """Write the files of an archive flat into a folder, numbered: their own names may lead anywhere.

    Raises:
        ValueError: there is no room for what they claim to be.
        zipfile.BadZipFile: a file is not what its checksum says.
    """
    members = [member for member in archive.infolist() if not member.is_dir()]
    claimed, room = sum(member.file_size for member in members), shutil.disk_usage(folder).free
    if claimed > room:
        raise ValueError(f"{claimed} bytes when unpacked, {room} are free")
    for index, member in enumerate(members):
        file = folder / f"{index:06d}{Path(member.filename).suffix.lower()[:5]}"
        with archive.open(member) as packed, file.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)


def find_series(asked: DicomFolder, folder: Path) -> DicomSeries:
    """The series that is asked for, among the files directly in a folder; only its own faults matter.

    Raises:
        VolumeError: see `open_series`.
    """
    by_series: dict[str, list[Instance]] = {}
    for file in sorted(folder.iterdir()):
        if is_dicom(file) and (part := read_instance(file)) is not None:
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
    ordered, affine = stack(asked, [as_slice(part) for part in parts])
    return DicomSeries(path=asked.path, slices=ordered, affine=affine)


def listed(series: Iterable[Sequence[Instance]]) -> str:
    """Series in a line, for people to choose from."""
    return ", ".join(f"{parts[0].series} ({parts[0].title}, {len(parts)} slices)" for parts in series)
