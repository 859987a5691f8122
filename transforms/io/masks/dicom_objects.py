"""The elements of DICOM objects other than images, read so that a broken or hostile file costs an error only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.dicom.elements import PIXEL_DATA, BoundedStream, inflated, quiet_pydicom
from hybridseg.transforms.io.header import unreadable_is_volume_error
from hybridseg.transforms.io.limits import check_memory

if TYPE_CHECKING:
    from pydicom import Dataset

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"
MASK_CLASSES = (RTSTRUCT, SEGMENTATION, LABEL_MAP_SEGMENTATION)
"""SOP classes that hold masks (DICOM PS3.4, B.5)."""

HEADER_COPIES = 4
"""Memory that interpreted elements need, in times of the file."""


@contextmanager
def reading(path: Path) -> Iterator[BinaryIO]:
    """Open a DICOM file whose elements may be interpreted within the block; a file deflated as a whole is inflated.

    Raises:
        VolumeError: the file cannot be read, or something within the block fails because of it.
    """
    with unreadable_is_volume_error(path), path.open("rb") as file, quiet_pydicom():
        size = path.stat().st_size
        check_memory(path, size)
        stream, _ = inflated(path, file, size)
        yield stream


def read_elements(path: Path, stream: BinaryIO) -> Dataset:
    """Read all elements before the pixel data; their values are interpreted when they are used.

    Raises:
        VolumeError: they need more memory than there is.
        Exception: any of those that pydicom raises; see `unreadable_is_volume_error`.
    """
    from pydicom.filereader import read_partial

    bounded = BoundedStream(stream)
    dataset = read_partial(cast(BinaryIO, bounded), stop_when=lambda tag, vr, length: tag >= PIXEL_DATA, force=True)
    check_memory(path, HEADER_COPIES * bounded.bytes)
    return dataset


def read_pixels(stream: BinaryIO) -> Dataset:
    """Read all elements, with the pixel data as stored; those before them have been read once by `read_elements`.

    Raises:
        Exception: any of those that pydicom raises; see `unreadable_is_volume_error`.
    """
    from pydicom import dcmread

    stream.seek(0)
    return dcmread(stream, force=True)


def sequence(dataset: Dataset, name: str) -> list[Dataset]:
    """Return the items of a sequence; none if it is missing or empty."""
    return list(dataset.get(name) or ())


def numbers(dataset: Dataset, name: str) -> NDArray[np.float64]:
    """Return the numbers of an element of decimal text (n,); empty if it is missing.

    The text is not interpreted one by one, since pydicom's objects for the points of a contour need gigabytes.

    Raises:
        ValueError: it is not a list of finite numbers.
    """
    element: Any = dataset.get_item(name)
    text = getattr(element, "value", None)
    if not text:
        return np.empty(0)
    if isinstance(text, bytes):
        text = text.strip(b" \0").split(b"\\")
        if any(b"\0" in part for part in text):  # NumPy would read the digits before it
            raise ValueError(f"{name} with zero bytes")
    parts = np.atleast_1d(text)
    values = np.array(parts, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} with NaN or infinity")
    return values


def required_numbers(path: Path, dataset: Dataset, name: str, count: int) -> NDArray[np.float64]:
    """Return the numbers of an element that must have so many.

    Raises:
        VolumeError: it has not.
    """
    values = numbers(dataset, name)
    if len(values) != count:
        raise VolumeError(path, f"{name} of {len(values)} numbers", f"must be {count} numbers")
    return values
