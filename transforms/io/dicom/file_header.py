"""The header of a DICOM file: what is read of it before its pixel data, by pydicom."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from hybridseg.transforms.errors import VolumeError

from .elements import PIXEL_DATA, BoundedStream, inflated, quiet_pydicom
from .pixel_data import UNDEFINED_LENGTH, PixelData, measure

KEYWORDS = (
    *("SOPClassUID", "ImageType", "Modality", "SeriesInstanceUID", "SeriesNumber", "FrameOfReferenceUID"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "NumberOfFrames", "PhotometricInterpretation"),
    *("TemporalPositionIdentifier", "EchoTime", "TriggerTime", "AcquisitionNumber", "DiffusionBValue"),
    *("FrameReferenceTime", "RescaleSlope"),
)
"""Text that is kept of each file: no names, no descriptions."""

NUMBERS = ("SamplesPerPixel", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit")
GREYSCALE = ("", "MONOCHROME1", "MONOCHROME2")
INVERTED = GREYSCALE[1]
LOOKUP_TABLE = "ModalityLUTSequence"
WELL_FORMED_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
DIRECTORY = "1.2.840.10008.1.3.10"
B_VALUE = 0x00189087
DEFERRED_BYTES = 1 << 16
"""Longest value that is read."""


@dataclass(frozen=True, kw_only=True)
class DicomHeader:
    """What is read of a DICOM file before its pixel data.

    Args:
        text: values of those `KEYWORDS` that it has.
        numbers: values of those `NUMBERS` that it has.
        transfer_syntax: UID, which names the compression.
        pixels: None if there are none.
        photometric_start: first byte of PhotometricInterpretation; of the inflated file if it is deflated.
        has_lookup_table: whether stored values become HU or the like by a table (ModalityLUTSequence).
        is_cut: whether the file ends within an element before the pixel data.
        is_directory: whether it is a DICOMDIR.
    """

    text: Mapping[str, str]
    numbers: Mapping[str, int]
    transfer_syntax: str
    pixels: PixelData | None
    photometric_start: int = 0
    has_lookup_table: bool = False
    is_cut: bool = False
    is_directory: bool = False


def read_dicom_header(path: Path, stream: BinaryIO, size: int) -> DicomHeader:
    """Read a DICOM file up to its pixel data, and measure these.

    Args:
        path: the file, for errors.
        stream: opened at its start.
        size: its bytes.

    Raises:
        VolumeError: it would not fit into memory when inflated.
        Exception: any of those that pydicom raises; see `unreadable_is_volume_error`.
    """
    from pydicom.filereader import read_partial
    from pydicom.tag import Tag

    stream, size = inflated(path, stream, size)
    pixels: list[tuple[int, int]] = []
    is_cut = False

    def stop(tag: int, vr: str | None, length: int) -> bool:
        nonlocal is_cut
        start = stream.tell()
        if tag == PIXEL_DATA:
            pixels.append((start, length))
        elif length != UNDEFINED_LENGTH and start + length > size:
            is_cut = True
        return bool(pixels) or is_cut

    names = (*KEYWORDS, *NUMBERS, LOOKUP_TABLE)
    with quiet_pydicom():
        dataset = read_partial(
            cast(BinaryIO, BoundedStream(stream)),
            stop_when=stop,
            force=True,
            defer_size=DEFERRED_BYTES,
            specific_tags=[Tag(name) for name in names],
        )
        values: dict[str, Any] = {name: dataset.get_item(name) for name in names if name in dataset}
        meta = dataset.file_meta
        is_directory = str(meta.get("MediaStorageSOPClassUID")) == DIRECTORY
        syntax = str(meta.get("TransferSyntaxUID") or "")
        implicit, little_endian = dataset.original_encoding
        order = "<" if little_endian else ">"
    return DicomHeader(
        text={name: as_text(values[name]) for name in KEYWORDS if name in values},
        numbers={name: number for name in NUMBERS if (number := as_number(values.get(name))) is not None},
        transfer_syntax=syntax,
        pixels=measure(stream, size, *pixels[0], explicit=not implicit, order=order) if pixels else None,
        photometric_start=getattr(values.get("PhotometricInterpretation"), "value_tell", 0),
        has_lookup_table=bool(getattr(values.get(LOOKUP_TABLE), "value", None)),
        is_cut=is_cut,
        is_directory=is_directory,
    )


def is_image(path: Path, header: DicomHeader) -> bool:
    """Return whether a file is an image; False for a report, a plan or the like.

    Raises:
        VolumeError: it is not DICOM, or an image without pixel data, as if it had been cut off.
    """
    from pydicom.uid import UID_dictionary

    if header.pixels is not None:
        return True
    sop_class = header.text.get("SOPClassUID", "")  # of the elements: that of the file's meta information comes earlier
    if header.is_cut or "Rows" in header.numbers or "Image Storage" in UID_dictionary.get(sop_class, ("",))[0]:
        raise VolumeError(path, "an image without pixel data", "must be a whole file")
    if not WELL_FORMED_UID.fullmatch(sop_class) and not header.is_directory:
        raise VolumeError(path, "not DICOM, or its start is missing", "must be a whole DICOM file")
    return False


def frame_count(path: Path, header: DicomHeader) -> int:
    """Return the number of frames, which is 1 if the header does not say.

    Raises:
        VolumeError: it is not a number from 1.
    """
    text = header.text.get("NumberOfFrames") or "1"
    if not text.strip("+").isdecimal() or not int(text):
        raise VolumeError(path, f"NumberOfFrames {text!r}", "must be a number from 1")
    return int(text)


def without_inversion(path: Path, stream: BinaryIO, size: int, header: DicomHeader) -> BinaryIO:
    """Return the content of a MONOCHROME1 file as MONOCHROME2, which GDCM decodes to the values that are stored.

    Photometric interpretation is for display, and has no influence on HU and the like (DICOM PS3.3, C.7.6.3.1.2).
    """
    plain, _ = inflated(path, stream, size)
    content = bytearray(plain.read())
    at = content.index(INVERTED.encode(), header.photometric_start)
    content[at : at + len(INVERTED)] = GREYSCALE[2].encode()
    return io.BytesIO(content)


def as_text(element: Any) -> str:
    """Return the text of an element that pydicom has not interpreted; the number of a b value, which is binary."""
    value = getattr(element, "value", None)
    if getattr(element, "tag", None) == B_VALUE:
        order = "<" if element.is_little_endian else ">"
        return f"{struct.unpack(f'{order}d', value)[0]:g}" if isinstance(value, bytes) and len(value) == 8 else ""
    return value.decode("latin-1").strip(" \0") if isinstance(value, bytes) else ""


def as_number(element: Any) -> int | None:
    """Return an unsigned number of two bytes; None if there is none."""
    value = getattr(element, "value", None)
    if not isinstance(value, bytes) or len(value) != 2:
        return None
    return int.from_bytes(value, "little" if element.is_little_endian else "big")
