"""The header of a DICOM file, and of each slice in it: its place, voxel size and shape, checked.

Slices are placed by ImagePositionPatient and ImageOrientationPatient (DICOM PS3.3, C.7.6.2): SliceThickness is not the
distance to the next slice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.header import unreadable_is_volume_error

from .file_header import DicomHeader, frame_count, is_image, read_dicom_header
from .pixel_checks import check_pixel_data
from .stored import StoredInstance, list_instances

MULTI_FRAME = {
    "1.2.840.10008.5.1.4.1.1.2.1": "enhanced CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "legacy converted enhanced CT",
    "1.2.840.10008.5.1.4.1.1.4.1": "enhanced MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "legacy converted enhanced MR",
    "1.2.840.10008.5.1.4.1.1.130": "enhanced PET",
    "1.2.840.10008.5.1.4.1.1.128.1": "legacy converted enhanced PET",
}
"""SOP classes whose files have the place of each of their frames in functional groups."""

MOSAIC = "MOSAIC"
"""In ImageType: how Siemens stores the slices of one time of functional or diffusion MRI."""

UNIT_TOLERANCE = 1e-3


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
    def path(self) -> Path:
        """The file, or what names it in errors."""
        return self.stored.path

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

    @property
    def frames(self) -> int:
        """Slices in the file, as its header claims; 1 if it does not say."""
        text = self.header.text.get("NumberOfFrames", "")
        return int(text) if text.isdecimal() else 1

    @property
    def has_series(self) -> bool:
        """Whether it says which series it belongs to."""
        return bool(self.number or self.header.text.get("SeriesInstanceUID"))

    @property
    def has_frames(self) -> bool:
        """Whether its slices are frames with functional groups."""
        return self.header.text.get("SOPClassUID") in MULTI_FRAME


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A slice with a checked header.

    Args:
        stored: where it is.
        header: header of its file.
        shape: columns and rows.
        orientation: (2, 3), unit vectors along a row and along a column, in LPS.
        spacing: (2,), mm from column to column and from row to row.
        position: (3,), centre of the first voxel, in LPS mm.
        decimals: (3,), digits after the point of each coordinate of the position as stored, trailing zeros aside.
        bits: bits per voxel.
        frame: number of its frame from 1 if its file has functional groups, otherwise None.
    """

    stored: StoredInstance
    header: DicomHeader
    shape: tuple[int, int]
    orientation: NDArray[np.float64]
    spacing: NDArray[np.float64]
    position: NDArray[np.float64]
    decimals: NDArray[np.int64]
    bits: int
    frame: int | None = None

    @property
    def path(self) -> Path:
        """The file, or what names it in errors."""
        return self.stored.path

    @property
    def frame_of_reference(self) -> str:
        """FrameOfReferenceUID; "" if there is none."""
        return self.header.text.get("FrameOfReferenceUID", "")

    @property
    def name(self) -> str:
        """Its file, and its frame if that has several."""
        return self.path.name if self.frame is None else f"frame {self.frame} of {self.path.name}"


def read_instance(stored: StoredInstance) -> Instance:
    """Read the header of a file, whatever it holds.

    Raises:
        VolumeError: the file cannot be read.
    """
    with unreadable_is_volume_error(stored.path), stored.open() as stream:
        return Instance(stored=stored, header=read_dicom_header(stored.path, stream, stored.size))


def find_slices(folder: Path) -> Iterator[Instance]:
    """Yield the files directly in a folder that hold slices, by their headers: no reports, plans, contours and masks.

    Files that cannot be read are among them: they may be slices that are cut off.
    """
    with list_instances(folder) as files:
        for file in files:
            try:
                instance = read_instance(file)
                if is_image(file.path, instance.header) and instance.modality != "SEG":
                    yield instance
            except VolumeError:
                yield Instance(stored=file, header=DicomHeader(text={}, numbers={}, transfer_syntax="", pixels=None))


def as_slice(instance: Instance) -> Slice:
    """Check that a file holds one whole slice with a position and one number per voxel, and return it.

    Raises:
        VolumeError: it does not.
    """
    path, header = instance.path, instance.header
    if (frames := frame_count(path, header)) > 1:
        known = ", ".join(MULTI_FRAME.values())
        raise VolumeError(path, f"{frames} frames of SOP class {header.text.get('SOPClassUID')}", f"must be {known}")
    if MOSAIC in header.text.get("ImageType", "").split("\\"):
        raise VolumeError(path, "a mosaic of slices in one image", "convert it first, for example with dcm2niix")
    if (slope := header.text.get("RescaleSlope", "")) and not is_nonzero_number(slope):
        raise VolumeError(path, f"RescaleSlope {slope!r}", "must be a number other than 0")
    check_voxels(instance)
    return place_slice(instance, header.text)


def check_voxels(instance: Instance) -> None:
    """Check that the voxels of a file are whole, and one number each.

    Raises:
        VolumeError: they are not.
    """
    if (samples := instance.header.numbers.get("SamplesPerPixel", 1)) > 1:
        raise VolumeError(instance.path, f"{samples} samples per voxel", "must be one number, not a colour")
    check_pixel_data(instance.path, instance.header)
    if instance.header.has_lookup_table:
        rule = "must be rescaled by slope and intercept, not by a table"
        raise VolumeError(instance.path, "a ModalityLUTSequence", rule)


def place_slice(instance: Instance, place: Mapping[str, str], frame: int | None = None) -> Slice:
    """Return a slice at the place that its attributes name.

    Args:
        instance: its file.
        place: `ImagePositionPatient`, `ImageOrientationPatient` and `PixelSpacing` as stored, separated by backslashes.
        frame: number of its frame.

    Raises:
        VolumeError: an attribute is missing or not possible.
    """
    where = "" if frame is None else f"frame {frame}: "
    numbers: dict[str, NDArray[np.float64]] = {}
    for name, count in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2)):
        try:
            numbers[name] = np.array([float(number) for number in place.get(name, "").split("\\")])
        except ValueError:
            numbers[name] = np.array([])
        if numbers[name].shape != (count,) or not np.isfinite(numbers[name]).all():
            raise VolumeError(instance.path, f"{where}{name} {place.get(name, '')!r}", f"must be {count} numbers")
    orientation = numbers["ImageOrientationPatient"].reshape(2, 3)
    if not np.allclose(orientation @ orientation.T, np.eye(2), atol=UNIT_TOLERANCE):
        found = f"{where}ImageOrientationPatient {place['ImageOrientationPatient']!r}"
        raise VolumeError(instance.path, found, "must be unit vectors at right angles")
    if (numbers["PixelSpacing"] <= 0).any():
        raise VolumeError(instance.path, f"{where}PixelSpacing {place['PixelSpacing']!r}", "must be above 0")
    sizes = instance.header.numbers
    return Slice(
        stored=instance.stored,
        header=instance.header,
        shape=(sizes["Columns"], sizes["Rows"]),
        orientation=orientation,
        spacing=numbers["PixelSpacing"][::-1],  # stored as from row to row, then from column to column
        position=numbers["ImagePositionPatient"],
        decimals=np.array([decimals(number) for number in place["ImagePositionPatient"].split("\\")]),
        bits=sizes["BitsAllocated"],
        frame=frame,
    )


def is_nonzero_number(text: str) -> bool:
    """Return whether a text is a finite number other than 0."""
    try:
        return bool(np.isfinite(float(text)) and float(text))
    except ValueError:
        return False


def decimals(number: str) -> int:
    """Return the digits after the point of a number, trailing zeros aside.

    Examples:
        >>> decimals("-629.040"), decimals("120"), decimals("1.5e-2")
        (2, 0, 3)
    """
    try:
        exponent = Decimal(number.strip()).normalize().as_tuple().exponent
    except InvalidOperation:  # such as underscores, which float allows
        return 0
    return max(0, -exponent) if isinstance(exponent, int) else 0
