"""Where the pixel data of a DICOM file are, and how long: uncompressed, or a list of fragments."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from .elements import PIXEL_DATA

UNDEFINED_LENGTH = 0xFFFFFFFF
ITEM, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
LONG_FORMS = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
"""Value representations whose length has four bytes, after two that are reserved."""

HEAD_BYTES, TAIL_BYTES = 1 << 16, 16
"""Kept of compressed pixel data: its header, and its end mark."""


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
