"""Where NRRD and MetaImage files keep their voxels, and whether these are whole.

ITK alone returns wrong voxels for a damaged compressed MetaImage, and allocates whatever a header asks for.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

from .errors import VolumeError
from .text_headers import read_fields

DEFLATE_RATIO = 1032
"""Most bytes that one byte of gzip or zlib data can stand for."""

ZLIB_OR_GZIP = 47
"""zlib's code for recognising either format."""

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class StoredVoxels:
    """The part of a file that holds voxels.

    Args:
        path: the file, which is another than the header's for `.mhd`.
        offset: first byte of the voxels.
        compressed: whether they are a zlib or gzip stream.
    """

    path: Path
    offset: int
    compressed: bool

    @property
    def capacity(self) -> int:
        """Most bytes of voxels that can be there."""
        return max(0, self.path.stat().st_size - self.offset) * (DEFLATE_RATIO if self.compressed else 1)

    def verify(self) -> None:
        """Read a compressed stream to its end, where its checksum is.

        Raises:
            zlib.error: the stream is damaged.
            EOFError: it ends early.
        """
        if not self.compressed:
            return
        stream = zlib.decompressobj(ZLIB_OR_GZIP)
        with self.path.open("rb") as file:
            file.seek(self.offset)
            waiting = b""
            while not stream.eof and (waiting := waiting or file.read(CHUNK_BYTES)):
                stream.decompress(waiting, CHUNK_BYTES)
                waiting = stream.unconsumed_tail
        if not stream.eof:
            raise EOFError("compressed voxels end early")


def find_stored_voxels(path: Path) -> StoredVoxels | None:
    """The voxels of a NRRD or MetaImage file.

    Args:
        path: the file with the header.

    Returns:
        Where the voxels are; None when they are text, bzip2, or in several files.

    Raises:
        FileNotFoundError: the file that the header names for the voxels does not exist.
        VolumeError: the header names itself, or breaks a rule of `read_fields`.
    """
    fields, header_bytes = read_fields(path)
    if path.suffix.lower() == ".nrrd":
        name = fields.get("data file", fields.get("datafile"))
        encoding = fields.get("encoding", "").lower()
        plain, compressed = encoding == "raw", encoding in ("gzip", "gz")
    else:
        name = None if fields.get("elementdatafile") == "LOCAL" else fields.get("elementdatafile")
        compressed = fields.get("compresseddata", "").lower() == "true"
        plain = not compressed and fields.get("binarydata", "").lower() == "true"
    voxels = path if name is None else path.parent / name
    if (
        not voxels.is_file() and name != "LIST" and len(voxels.name.split()) == 1
    ):  # no list, nor a pattern and its range
        raise FileNotFoundError(f"its data file {name} does not exist")
    if not (plain or compressed) or not voxels.is_file():
        return None
    if name is not None and voxels.samefile(path):
        raise VolumeError(path, f"data file {name}", "must be another file than its header")
    # A length below 0 stands for whatever comes before the voxels at the file's end.
    skipped = fields.get("headersize", "0")
    before = header_bytes if name is None else int(skipped) if skipped.isdecimal() else 0
    return StoredVoxels(voxels, before, compressed)
