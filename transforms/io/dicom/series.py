"""Find a DICOM series in a folder or a zip, and the grid of its volume.

A series that is not an evenly spaced stack of slices raises a VolumeError with the reason.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.io.header import VolumeHeader

from .choice import Scan, choose, listed
from .file_header import is_image
from .multi_frame import split_frames
from .slices import Instance, Slice, as_slice, read_instance
from .stacking import Stack, stack
from .stored import StoredInstance, list_instances
from .volumes import split_files

ZIP_EXTENSION = ".zip"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DicomFolder(os.PathLike[str]):
    """A folder or zip with DICOM slices, and the series to read.

    Args:
        path: a folder of slices, or a zip of one.
        series: SeriesInstanceUID or SeriesNumber, followed by `/2` for the second of its volumes; None
            chooses the one that fits.
        modality: modality to choose by if there are several series, such as CT.
        fill_gaps: interpolate a missing slice.
        is_channel: whether it is one of several channels, so that even a single series must have the modality.
    """

    path: Path
    series: str | None = None
    modality: str | None = None
    fill_gaps: bool = False
    is_channel: bool = False

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, kw_only=True)
class DicomSeries:
    """A stack of slices, and the volume that they form.

    Args:
        path: the folder or zip.
        stack: the slices in order along their normal, and their grid.
        notes: what was chosen, skipped or corrected, a line each.
    """

    path: Path
    stack: Stack
    notes: tuple[str, ...] = ()

    @property
    def slices(self) -> Sequence[Slice]:
        """The slices as stored, in order along their normal."""
        return self.stack.slices

    @property
    def affine(self) -> NDArray[np.float64]:
        """Return the affine (4, 4) of the volume: indices of (column, row, plane) to RAS mm."""
        return self.stack.affine

    @property
    def instances(self) -> list[StoredInstance]:
        """Where each slice is stored, in order."""
        return [part.stored for part in self.slices]

    @property
    def files(self) -> list[Path]:
        """The file of each slice, in order; the slices of a zip have none, only a path that names them."""
        return [part.path for part in self.slices]

    @property
    def frame_of_reference(self) -> str:
        """FrameOfReferenceUID; "" if there is none."""
        return self.slices[0].frame_of_reference

    @property
    def header(self) -> VolumeHeader:
        """Shape, voxel type and position, as for any volume."""
        bits = self.slices[0].bits
        return VolumeHeader(
            shape=self.stack.shape,
            voxel_type=f"{bits}-bit",
            is_numeric=True,
            affine=self.affine,
            voxel_bytes=int(np.prod(self.stack.shape)) * bits // 8,
            capacity=None,
            frame_of_reference=self.frame_of_reference,
        )

    def labels_on_slices(self, labels: NDArray[np.integer]) -> NDArray[np.integer]:
        """Resample a label map (columns, rows, planes) of the volume to the slices as stored, by nearest neighbour."""
        return self.stack.labels_on_slices(labels)


def is_series(source: PathLike) -> bool:
    """Return whether a volume is read as a DICOM series: from a folder, or from a zip of one."""
    path = Path(source)
    return isinstance(source, DicomFolder) or path.is_dir() or path.suffix.lower() == ZIP_EXTENSION


@contextmanager
def open_series(source: PathLike) -> Iterator[DicomSeries]:
    """Find the slices of a series and check that they form a volume; a zip is open until the block ends.

    What was chosen, skipped or corrected is logged.

    Args:
        source: a folder or a zip, or a `DicomFolder`, which also names the series.

    Raises:
        VolumeError: nothing readable, several series without a choice, or no evenly spaced stack of slices.
    """
    chosen = source if isinstance(source, DicomFolder) else DicomFolder(Path(source))
    with list_instances(chosen.path) as stored:
        series = find_series(chosen, stored)
        for note in series.notes:
            logger.info(note)
        yield series


def find_series(source: DicomFolder, stored: Iterable[StoredInstance]) -> DicomSeries:
    """Find the requested series among instances; if it is named, files of others may be broken.

    Raises:
        VolumeError: see `open_series`.
    """
    images, notes = find_images(source, stored)
    by_series: dict[str, list[Instance]] = {}
    for image in images:
        by_series.setdefault(image.series, []).append(image)
    if not by_series:
        raise VolumeError(source, "no DICOM images", "must hold the slices of a series")
    scans = [scan for parts in by_series.values() for scan in scans_of(source, parts)]
    modality = source.modality if source.is_channel or len(scans) > 1 else None
    scan = choose(source, scans, series=source.series, modality=modality)
    if source.series is None and (others := [other for other in scans if other is not scan]):
        notes.append(f"series {scan} chosen, not {listed(others)}")
    slices = [part if isinstance(part, Slice) else as_slice(part) for part in scan.parts]
    found = stack(source, slices, fill_gaps=source.fill_gaps)
    lines = tuple(f"{source}: {note}" for note in (*notes, *found.notes))
    return DicomSeries(path=source.path, stack=found, notes=lines)


def find_images(source: DicomFolder, stored: Iterable[StoredInstance]) -> tuple[list[Instance], list[str]]:
    """Read the headers of files, and return those that are images, and a line for each that was skipped.

    Raises:
        VolumeError: a file cannot be read, unless another series is named.
    """
    images, notes = [], []
    for file in stored:
        instance = None
        try:
            instance = read_instance(file)
            if is_image(file.path, instance.header):
                images.append(instance)
        except VolumeError as error:
            if source.series is None or (instance is not None and is_named(source.series, instance)):
                raise
            if instance is None or not instance.has_series:
                notes.append(f"{file.path.name}: {error.value}: its series is unknown: skipped")
    return images, notes


def scans_of(source: DicomFolder, parts: Sequence[Instance]) -> list[Scan]:
    """Return a series as a scan for each of its volumes; if another is named, as one, without a look into its files."""
    first = parts[0]
    if source.series is not None and not is_named(source.series, first):
        return [Scan(parts=parts, first=first)]
    volumes = volumes_of(parts)
    return [
        Scan(parts=members, first=first, ordinal=ordinal if len(volumes) > 1 else 0, about=about)
        for ordinal, (about, members) in enumerate(volumes, start=1)
    ]


def volumes_of(parts: Sequence[Instance]) -> Sequence[tuple[str, Sequence[Instance] | Sequence[Slice]]]:
    """Sort the files of a series, or their frames, into volumes; see `split_volumes`."""
    if parts[0].has_frames:
        return split_frames(parts)
    return split_files(parts)


def is_named(series: str, instance: Instance) -> bool:
    """Return whether a file belongs to the series with a UID or number, or to that of a volume with `/2` after it."""
    return series.split("/")[0] in (instance.series, instance.number)
