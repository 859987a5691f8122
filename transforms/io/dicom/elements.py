"""Read elements of DICOM files by pydicom, so that a broken or hostile file costs an error only."""

from __future__ import annotations

import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, BinaryIO, cast

from hybridseg.transforms.io.header import unreadable_is_volume_error
from hybridseg.transforms.io.limits import check_memory

from .stored import StoredInstance

if TYPE_CHECKING:
    from pydicom import Dataset

PIXEL_DATA = 0x7FE00010
DEFLATED = b"1.2.840.10008.1.2.1.99"
MOST_READS, MOST_HEADER_BYTES = 1 << 21, 1 << 28
"""Most elements, or nearly, and most bytes that are read before the pixel data."""

MAGIC_END = 132
META_BYTES = 1 << 12
"""Within these first bytes, a file names its transfer syntax."""

QUIET = RLock()


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


def select_elements(stored: StoredInstance, tags: Iterable[str | int]) -> Dataset:
    """Read those elements of a file before its pixel data that have the tags, given by keyword or number.

    Raises:
        VolumeError: it cannot be read.
    """
    from pydicom.filereader import read_partial
    from pydicom.tag import Tag

    with unreadable_is_volume_error(stored.path), stored.open() as file, quiet_pydicom():
        stream, _ = inflated(stored.path, file, stored.size)
        return read_partial(
            cast("BinaryIO", BoundedStream(stream)),
            lambda tag, vr, length: tag >= PIXEL_DATA,
            force=True,
            specific_tags=[*map(Tag, tags)],
        )
