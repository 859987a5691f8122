"""Check that the pixel data of a DICOM file are as long as its header says.

GDCM decodes what is there: of pixel data that are too short, the rest of the image is whatever the memory held.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from hybridseg.transforms.errors import VolumeError

from .file_header import GREYSCALE, DicomHeader, frame_count

JPEG_FAMILY = "1.2.840.10008.1.2.4."
JPEG_END = b"\xff\xd9"
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
"""Markers of the headers that hold an image's size; the last is that of JPEG-LS."""

JPEG_2000_SIZE = b"\xff\x4f\xff\x51"
RLE = "1.2.840.10008.1.2.5"
RLE_HEADER_BYTES = 64
COMPRESSED_RATIO, COMPRESSED_EXTRA = 2, 1 << 16
"""Compressed pixel data of noise may be longer than uncompressed, but not twice as long."""


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
