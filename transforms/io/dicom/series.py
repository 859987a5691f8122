"""Read a DICOM series as a volume: find the files that belong together in a folder or a zip, and read their voxels.

A series that is not an evenly spaced stack of slices raises a VolumeError with the reason.
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
    """A folder or zip with DICOM slices, and the series to read.

    Args:
        path: a folder of slices, or a zip of one.
        series: SeriesInstanceUID or SeriesNumber; None if there is only one series.
    """

    path: Path
    series: str | None = None

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, kw_only=True)
class DicomSeries:
    """An evenly spaced stack of slices.

    Args:
        path: the folder or zip.
        slices: the slices in order along their normal.
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
        """Shape, voxel type and position, as for any volume."""
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
        series: the series to read.
    """

    def __init__(self, series: DicomSeries) -> None:
        self.series = series

    def verify_suffix(self, filename: Any) -> bool:
        """Return True: the series may be in any folder or zip."""
        return True

    def read(self, data: Any, **kwargs: Any) -> sitk.Image:
        """Read all slices as float32; `data`, the path that MONAI passes, is ignored."""
        reader = sitk.ImageSeriesReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileNames([os.fspath(file) for file in self.series.files])
        reader.SetOutputPixelType(sitk.sitkFloat32)
        with quiet_itk():
            return reader.Execute()

    def get_data(self, img: sitk.Image) -> tuple[NDArray[Any], dict[str, Any]]:
        """Return voxels (columns, rows, slices) and the metadata that MONAI expects."""
        array = sitk.GetArrayViewFromImage(img).T
        return array, volume_metadata(array, self.series.affine)


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM by its first bytes, or else by its extension."""
    if path.name == "DICOMDIR" or path.name.startswith(".") or not path.is_file():
        return False
    with path.open("rb") as file:
        file.seek(MAGIC_OFFSET)
        return file.read(len(MAGIC)) == MAGIC or path.suffix.lower() in DICOM_EXTENSIONS


@contextmanager
def open_series(source: PathLike) -> Iterator[DicomSeries]:
    """Find the slices of a series and check that they form a volume; slices of a zip exist until the block ends.

    Args:
        source: a folder or a zip, or a `DicomFolder`, which also names the series.

    Raises:
        VolumeError: nothing readable, several series without a choice, or no evenly spaced stack of slices.
    """
    chosen = source if isinstance(source, DicomFolder) else DicomFolder(Path(source))
    if chosen.path.is_dir():
        yield find_series(chosen, chosen.path)
        return
    with tempfile.TemporaryDirectory(prefix="hybridseg-") as unpacked:
        with unreadable_is_volume_error(chosen.path), zipfile.ZipFile(chosen.path) as archive:
            extract(archive, Path(unpacked))
        yield find_series(chosen, Path(unpacked))


def extract(archive: zipfile.ZipFile, folder: Path) -> None:
    """Extract the files of an archive flat into a folder, numbered, since their own names may lead anywhere.

    Raises:
        ValueError: the disk has less space than the files claim to need.
        zipfile.BadZipFile: a file does not match its checksum.
    """
    members = [member for member in archive.infolist() if not member.is_dir()]
    claimed, room = sum(member.file_size for member in members), shutil.disk_usage(folder).free
    if claimed > room:
        raise ValueError(f"{claimed} bytes when unpacked, {room} are free")
    for index, member in enumerate(members):
        file = folder / f"{index:06d}{Path(member.filename).suffix.lower()[:5]}"
        with archive.open(member) as packed, file.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)


def find_series(source: DicomFolder, folder: Path) -> DicomSeries:
    """Find the requested series among the files directly in `folder`; errors in other series are ignored.

    Raises:
        VolumeError: see `open_series`.
    """
    by_series: dict[str, list[Instance]] = {}
    for file in sorted(folder.iterdir()):
        if is_dicom(file) and (part := read_instance(file)) is not None:
            by_series.setdefault(part.series, []).append(part)
    if not by_series:
        raise VolumeError(source, "no DICOM images", "must hold the slices of a series")
    if source.series is not None:
        found = {name: parts for name, parts in by_series.items() if source.series in (name, parts[0].number)}
        if not found:
            raise VolumeError(
                source, f"no series {source.series!r}", f"must be one of {list_series(by_series.values())}"
            )
        by_series = found
    if len(by_series) > 1:
        raise VolumeError(source, f"{len(by_series)} series", f"choose one of {list_series(by_series.values())}")
    (parts,) = by_series.values()
    ordered, affine = stack(source, [as_slice(part) for part in parts])
    return DicomSeries(path=source.path, slices=ordered, affine=affine)


def list_series(series: Iterable[Sequence[Instance]]) -> str:
    """List series in one line, for a person to choose from."""
    return ", ".join(f"{parts[0].series} ({parts[0].title}, {len(parts)} slices)" for parts in series)
