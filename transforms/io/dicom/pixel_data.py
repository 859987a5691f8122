"""The header of a DICOM file, by pydicom, and whether its pixel data are as long as the header says.

GDCM decodes what is there: of pixel data that are too short, the rest of the image is whatever the memory held.
"""

from __future__ import annotations

import io
import logging
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any, BinaryIO, cast

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.limits import check_memory

KEYWORDS = (
    *("SOPClassUID", "ImageType", "Modality", "SeriesInstanceUID", "SeriesNumber", "FrameOfReferenceUID"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "NumberOfFrames", "PhotometricInterpretation"),
    *("TemporalPositionIdentifier", "EchoTime", "TriggerTime", "AcquisitionNumber", "DiffusionBValue"),
)
"""Text that is kept of each file: no names, no descriptions."""

NUMBERS = ("SamplesPerPixel", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit")
GREYSCALE = ("", "MONOCHROME1", "MONOCHROME2")
INVERTED = GREYSCALE[1]

LOOKUP_TABLE = "ModalityLUTSequence"
WELL_FORMED_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
DIRECTORY = "1.2.840.10008.1.3.10"
PIXEL_DATA = 0x7FE00010
B_VALUE = 0x00189087
UNDEFINED_LENGTH = 0xFFFFFFFF
ITEM, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
LONG_FORMS = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
"""Value representations whose length has four bytes, after two that are reserved."""

DEFLATED = b"1.2.840.10008.1.2.1.99"
JPEG_FAMILY = "1.2.840.10008.1.2.4."
JPEG_END = b"\xff\xd9"
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
"""Markers of the headers that hold an image's size; the last is that of JPEG-LS."""

JPEG_2000_SIZE = b"\xff\x4f\xff\x51"
RLE = "1.2.840.10008.1.2.5"
RLE_HEADER_BYTES = 64

MOST_READS, MOST_HEADER_BYTES = 1 << 21, 1 << 28
"""Most elements, or nearly, and most bytes that are read before the pixel data."""

DEFERRED_BYTES = 1 << 16
"""Longest value that is read."""

HEAD_BYTES, TAIL_BYTES = 1 << 16, 16
"""Kept of compressed pixel data: its header, and its end mark."""

MAGIC_END = 132

QUIET = RLock()

META_BYTES = 1 << 12
"""Within these first bytes, a file names its transfer syntax."""

COMPRESSED_RATIO, COMPRESSED_EXTRA = 2, 1 << 16
"""Compressed pixel data of noise may be longer than uncompressed, but not twice as long."""


@dataclass(frozen=True, kw_only=True)
class PixelData:
    """Pixel data as stored.

    Args:
        length: bytes; of all fragments if compressed.
        missing: bytes by which they are longer than the file.
        surplus: bytes after them that are not elements.
        fragments: first byte and bytes of each fragment if they are compressed; otherwise None.
        head: their first bytes if compressed.
        tail: their last bytes if compressed.
    """

    length: int
    missing: int = 0
    surplus: int = 0
    fragments: Sequence[tuple[int, int]] | None = None
    head: bytes = b""
    tail: bytes = b""


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


class BoundedStream:
    """Lets pydicom read so much of a stream and no more: it goes through gigabytes of zeros as empty elements."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.seek, self.tell = stream.seek, stream.tell
        self.reads, self.bytes = 0, 0

    def read(self, size: int = -1) -> bytes:
        """Read bytes.

        Raises:
            ValueError: it was too often, or too much.
        """
        content = self.stream.read(min(size, MOST_HEADER_BYTES) if size >= 0 else MOST_HEADER_BYTES)
        self.reads, self.bytes = self.reads + 1, self.bytes + len(content)
        if self.reads > MOST_READS or self.bytes > MOST_HEADER_BYTES:
            raise ValueError("no pixel data among its first elements")
        return content


def read_dicom_header(path: Path, stream: BinaryIO, size: int) -> DicomHeader:
    """Read a DICOM file up to its pixel data, and measure these.

    Args:
        path: the file, for errors.
        stream: opened at its begin.
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
        raise VolumeError(path, "not DICOM, or cut off at its begin", "must be a whole DICOM file")
    return False


def without_inversion(path: Path, stream: BinaryIO, size: int, header: DicomHeader) -> BinaryIO:
    """Return the content of a MONOCHROME1 file as MONOCHROME2, which GDCM decodes to the values that are stored.

    Photometric interpretation is for display, and has no influence on HU and the like (DICOM PS3.3, C.7.6.3.1.2).
    """
    plain, _ = inflated(path, stream, size)
    content = bytearray(plain.read())
    at = content.index(INVERTED.encode(), header.photometric_start)
    content[at : at + len(INVERTED)] = GREYSCALE[2].encode()
    return io.BytesIO(content)


def check_pixel_data(path: Path, header: DicomHeader) -> None:
    """Check that the pixel data of a slice, or of all frames, are as long as the header says.

    Raises:
        VolumeError: they are shorter or longer, or the compressed ones are cut off.
    """
    pixels, numbers = header.pixels, header.numbers
    if pixels is None or not all(numbers.get(name) for name in ("Rows", "Columns", "BitsAllocated")):
        raise VolumeError(
            path, f"an image with {dict(numbers)}", "must have Rows, Columns, BitsAllocated and PixelData"
        )
    if (colours := header.text.get("PhotometricInterpretation", "")) not in GREYSCALE:
        raise VolumeError(path, f"PhotometricInterpretation {colours!r}", f"must be one of {', '.join(GREYSCALE[1:])}")
    stored = numbers.get("BitsStored", numbers["BitsAllocated"])
    if not 0 < stored <= numbers.get("HighBit", stored - 1) + 1 <= numbers["BitsAllocated"]:
        found = ", ".join(
            f"{name} {numbers[name]}" for name in ("BitsAllocated", "BitsStored", "HighBit") if name in numbers
        )
        raise VolumeError(path, found, "BitsStored must fit below HighBit, and HighBit into BitsAllocated")
    rows, columns, bits = numbers["Rows"], numbers["Columns"], numbers["BitsAllocated"]
    samples, frames = numbers.get("SamplesPerPixel") or 1, frame_count(path, header)
    expected = -(-frames * rows * columns * samples * bits // 8)
    claim = (
        f"{f'{frames} frames, ' if frames > 1 else ''}{rows} rows, {columns} columns and {bits} bits need {expected}"
    )
    rule = "pixel data must be as long as the header says"
    if pixels.missing:
        raise VolumeError(path, f"pixel data of {pixels.length} bytes, the last {pixels.missing} are missing", rule)
    if pixels.surplus:
        raise VolumeError(path, f"{pixels.surplus} bytes after the pixel data", "must end with its pixel data")
    if pixels.fragments is None:
        if pixels.length not in (expected, expected + expected % 2):  # padded to an even length
            raise VolumeError(path, f"pixel data of {pixels.length} bytes, {claim}", rule)
        return
    if pixels.length > COMPRESSED_RATIO * expected + COMPRESSED_EXTRA:
        raise VolumeError(path, f"compressed pixel data of {pixels.length} bytes, {claim}", rule)
    if header.transfer_syntax.startswith(JPEG_FAMILY):
        if not pixels.tail.rstrip(b"\0").endswith(JPEG_END):
            raise VolumeError(path, "compressed pixel data without an end mark", "must be whole")
        if (shape := codestream_shape(pixels.head)) not in (None, (rows, columns)):
            raise VolumeError(path, f"compressed pixel data of (rows, columns) {shape}, {claim}", rule)


def frame_count(path: Path, header: DicomHeader) -> int:
    """Return the number of frames, which is 1 if the header does not say.

    Raises:
        VolumeError: it is not a number from 1.
    """
    text = header.text.get("NumberOfFrames") or "1"
    if not text.strip("+").isdecimal() or not int(text):
        raise VolumeError(path, f"NumberOfFrames {text!r}", "must be a number from 1")
    return int(text)


def measure(stream: BinaryIO, size: int, start: int, length: int, *, explicit: bool, order: str) -> PixelData:
    """Measure pixel data that begin at byte `start`.

    Args:
        stream: the file.
        size: its bytes.
        start: first byte of the pixel data.
        length: their bytes by the header; undefined if they are compressed.
        explicit: whether elements have a value representation.
        order: `<` or `>`, the byte order of elements.

    Raises:
        ValueError: compressed pixel data are not a list of fragments.
    """
    if length != UNDEFINED_LENGTH:
        end = start + length
        following = surplus(stream, size, end, explicit=explicit, order=order)
        return PixelData(length=length, missing=max(0, end - size), surplus=following)
    stream.seek(start)
    found, first, tail = [], b"", b""
    while (item := stream.read(8))[:4] == ITEM and len(item) == 8:
        (count,) = struct.unpack("<I", item[4:])
        at = stream.tell()
        found.append((at, count))
        if at + count > size:
            return PixelData(length=sum(length for _, length in found[1:]), missing=at + count - size, fragments=found)
        if len(found) == 2:  # the first item is the table of offsets
            first = stream.read(min(count, HEAD_BYTES))
        stream.seek(max(at, at + count - TAIL_BYTES))
        tail = (tail + stream.read(min(count, TAIL_BYTES)))[-TAIL_BYTES:]
    total = sum(length for _, length in found[1:])
    if len(item) < 8:
        return PixelData(length=total, missing=8 - len(item), fragments=found)
    if item[:4] != SEQUENCE_END:
        raise ValueError("compressed pixel data are no list of fragments")
    following = surplus(stream, size, stream.tell(), explicit=explicit, order=order)
    return PixelData(length=total, surplus=following, fragments=found[1:], head=first, tail=tail)


def codestream_shape(head: bytes) -> tuple[int, int] | None:
    """Return rows and columns by the first bytes of a JPEG, JPEG-LS or JPEG 2000 image; None if they do not say."""
    if (at := head.find(JPEG_2000_SIZE)) >= 0 and len(head) >= at + 24:
        right, bottom, left, top = struct.unpack_from(">4I", head, at + 8)
        return bottom - top, right - left
    at = 2
    while head[:1] == b"\xff" and len(head) >= at + 9:
        marker, length, _, rows, columns = struct.unpack_from(">xBHBHH", head, at)
        if marker in JPEG_FRAMES:
            return (rows, columns) if rows else None  # no rows: they follow at the end
        at += 2 + length
    return None


def check_runs(path: Path, stream: BinaryIO, header: DicomHeader) -> None:
    """Check that each segment of run-length encoded pixel data decodes to the whole slice (DICOM PS3.5, annex G).

    Raises:
        VolumeError: it does not.
    """
    parts = []
    for at, count in (header.pixels.fragments if header.pixels else None) or ():
        stream.seek(at)
        parts.append(stream.read(count))
    content, numbers = b"".join(parts), header.numbers
    expected = numbers["Rows"] * numbers["Columns"]
    rule = "pixel data must be as long as the header says"
    planes = numbers["BitsAllocated"] // 8
    if len(content) < RLE_HEADER_BYTES or struct.unpack_from("<I", content)[0] != planes:
        raise VolumeError(path, "run-length encoded pixel data of another voxel type", rule)
    starts = struct.unpack_from(f"<{planes}I", content, 4)
    for start, end in zip(starts, (*starts[1:], len(content)), strict=True):
        found = decoded_length(content[start:end])
        if found != expected:
            raise VolumeError(path, f"run-length encoded pixel data of {found} voxels instead of {expected}", rule)


def decoded_length(segment: bytes) -> int:
    """Return the bytes that a run-length encoded segment decodes to; a byte at its end may be padding."""
    at, total, size = 0, 0, len(segment)
    while at < size - 1:
        control = segment[at]
        if control < 128:  # so many bytes, and one more, follow
            total += min(control + 1, size - at - 1)
            at += control + 2
        elif control > 128:  # the next byte repeated
            total += 257 - control
            at += 2
        else:
            at += 1
    return total


def surplus(stream: BinaryIO, size: int, end: int, *, explicit: bool, order: str) -> int:
    """Return how many bytes follow the pixel data at byte `end`; 0 if they are elements that may follow."""
    last = PIXEL_DATA
    stream.seek(end)
    while (at := stream.tell()) < size:
        if len(head := stream.read(12)) < 8:
            return size - end
        group, element, length = struct.unpack(f"{order}HHI", head[:8])
        first = at + 8
        if explicit and head[4:6] in LONG_FORMS and len(head) >= 12:
            (length,) = struct.unpack(f"{order}I", head[8:12])
            first = at + 12
        elif explicit:
            (length,) = struct.unpack(f"{order}H", head[6:8])
        tag = group << 16 | element
        if tag <= last or (explicit and not head[4:6].isupper()):
            return size - end
        if length == UNDEFINED_LENGTH:
            return 0
        if first + length > size:
            return size - end
        last = tag
        stream.seek(first + length)
    return 0


def inflated(path: Path, stream: BinaryIO, size: int) -> tuple[BinaryIO, int]:
    """Return a stream and its bytes; a file that is deflated as a whole is inflated in memory.

    Raises:
        VolumeError: it would not fit.
        zlib.error: it is damaged.
    """
    begin = stream.read(META_BYTES)
    stream.seek(0)
    at = begin.find(DEFLATED)
    if at < 0:
        return stream, size
    (group_length,) = struct.unpack_from("<I", begin, MAGIC_END + 8)
    first = MAGIC_END + 12 + group_length
    stream.seek(first)
    inflater, parts, length = zlib.decompressobj(-zlib.MAX_WBITS), [begin[:first]], first
    waiting = b""
    while not inflater.eof and (waiting := waiting or stream.read(1 << 20)):
        parts.append(inflater.decompress(waiting, 1 << 24))
        waiting = inflater.unconsumed_tail
        length += len(parts[-1])
        check_memory(path, 2 * length)
    if not inflater.eof:
        raise EOFError("deflated elements end early")
    plain = b"".join(parts).replace(DEFLATED, DEFLATED[:-3] + b"\0\0\0", 1)
    return io.BytesIO(plain), length


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


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from logging and warning about values that are not needed here, in one thread at a time."""
    logger = logging.getLogger("pydicom")
    with QUIET:  # filters of warnings belong to the process
        level = logger.level
        logger.setLevel(logging.CRITICAL + 1)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            logger.setLevel(level)
