"""Where NRRD and MetaImage files keep their voxels, and whether these are whole.

ITK alone returns wrong voxels for a damaged compressed MetaImage, and allocates whatever a header asks for.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

DEFLATE_RATIO = 1032
"""Most bytes that one byte of gzip or zlib data can stand for."""

ZLIB_OR_GZIP = 47
"""zlib's code for recognising either format."""

CHUNK_BYTES = 1 << 20
HEADER_LINE_BYTES = 1 << 16


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
        return (self.path.stat().st_size - self.offset) * (DEFLATE_RATIO if self.compressed else 1)

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
    """
    fields, header_bytes = _read_fields(path)
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
    return StoredVoxels(voxels, header_bytes if name is None else 0, compressed)


def _read_fields(path: Path) -> tuple[dict[str, str], int]:
    """The fields of a text header, names in lower case, and the header's length in bytes.

    A NRRD header ends with an empty line, that of a MetaImage with the field ElementDataFile.
    """
    separator = ":" if path.suffix.lower() == ".nrrd" else "="
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        while line := file.readline(HEADER_LINE_BYTES).decode("latin-1").strip():
            name, _, value = line.partition(separator)
            fields[name.strip().lower()] = value.strip()
            if name.strip().lower() == "elementdatafile":
                break
        return fields, file.tell()
