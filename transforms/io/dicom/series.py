"""Read a DICOM series as a volume: find the files that belong together in a folder or a zip, and read their voxels.

A series that is not an evenly spaced stack of slices raises a VolumeError with the reason.
"""

from __future__ import annotations

import os
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
from hybridseg.transforms.io.limits import check_memory
from hybridseg.transforms.io.metadata import volume_metadata

from .pixel_data import RLE, check_runs
from .slices import Instance, Slice, as_slice, read_instance, stack
from .stored import StoredInstance, list_instances
from .suv import suv_scales

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
    def instances(self) -> list[StoredInstance]:
        """Where each slice is stored, in order."""
        return [part.stored for part in self.slices]

    @property
    def files(self) -> list[Path]:
        """The file of each slice, in order; the slices of a zip have none, only a path that names them."""
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
    """Reads a series through SimpleITK, with the rescaling of each slice applied: HU for CT, SUV for PET.

    Args:
        series: the series to read.
        max_bytes: most bytes of a file; None allows the free memory.
    """

    def __init__(self, series: DicomSeries, max_bytes: int | None = None) -> None:
        self.series = series
        self.max_bytes = max_bytes

    def verify_suffix(self, filename: Any) -> bool:
        """Return True: the series may be in any folder or zip."""
        return True

    def read(self, data: Any, **kwargs: Any) -> NDArray[np.float32]:
        """Read all slices (slices, rows, columns); `data`, the path that MONAI passes, is ignored.

        Raises:
            VolumeError: a slice cannot be decoded, or to another size than its header says.
        """
        slices = self.series.slices
        columns, rows = slices[0].shape
        voxels = np.empty((len(slices), rows, columns), np.float32)
        with quiet_itk():
            for part, plane in zip(slices, voxels, strict=True):
                check_memory(part.path, part.stored.size, self.max_bytes)
                if part.header.transfer_syntax == RLE:
                    with unreadable_is_volume_error(part.path), part.stored.open() as stream:
                        check_runs(part.path, stream, part.header)
                with unreadable_is_volume_error(part.path), part.stored.as_file() as file:
                    image = sitk.ReadImage(os.fspath(file), sitk.sitkFloat32, imageIO="GDCMImageIO")
                decoded = sitk.GetArrayViewFromImage(image)
                if decoded.shape not in (plane.shape, (1, *plane.shape)):
                    raise VolumeError(part.path, f"{decoded.shape} voxels when decoded", f"must be {plane.shape}")
                plane[:] = decoded.reshape(plane.shape)
        if (scales := suv_scales(slices)) is not None:
            voxels *= np.asarray(scales, np.float32)[:, None, None]
        return voxels

    def get_data(self, img: NDArray[np.float32]) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Return voxels (columns, rows, slices) and the metadata that MONAI expects."""
        return img.T, volume_metadata(img.T, self.series.affine)


@contextmanager
def open_series(source: PathLike) -> Iterator[DicomSeries]:
    """Find the slices of a series and check that they form a volume; a zip is open until the block ends.

    Args:
        source: a folder or a zip, or a `DicomFolder`, which also names the series.

    Raises:
        VolumeError: nothing readable, several series without a choice, or no evenly spaced stack of slices.
    """
    chosen = source if isinstance(source, DicomFolder) else DicomFolder(Path(source))
    with list_instances(chosen.path) as stored:
        yield find_series(chosen, stored)


def find_series(source: DicomFolder, stored: Iterable[StoredInstance]) -> DicomSeries:
    """Find the requested series among instances; errors in the pixel data and positions of others are ignored.

    Raises:
        VolumeError: see `open_series`.
    """
    by_series: dict[str, list[Instance]] = {}
    for instance in stored:
        if (part := read_instance(instance)) is not None:
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
    """List series in one line, for a person to choose from, without descriptions: these may name patients."""
    return ", ".join(
        f"{first.series} ({', '.join(filter(None, (about_number(first), first.modality)))}, {len(parts)} slices)"
        for parts in series
        for first in parts[:1]
    )


def about_number(instance: Instance) -> str:
    """Return the number of a series, unless its name says it."""
    return f"number {instance.number}" if instance.number and instance.header.text.get("SeriesInstanceUID") else ""
