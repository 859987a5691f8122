"""Where NRRD and MetaImage files store their voxels, and whether all of them are there.

ITK alone returns wrong voxels for a damaged compressed MetaImage, and allocates whatever a header asks for.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hybridseg.transforms.errors import VolumeError

from .gzip_files import CHUNK_BYTES, DEFLATE_RATIO, GZIP_START
from .header import surplus_bytes

ZLIB_OR_GZIP = 47
"""zlib's code for recognising either format."""

LONGEST_LINE = 1 << 16

LONGEST_HEADER = 1 << 24
"""Most bytes of a text header."""

LONGEST_NRRD_FIELD = 500
"""Most bytes of a NRRD field such as `sizes: 1 2 3`; near 1000, ITK overruns its buffer. A key:=value may be longer."""

NRRD_START = b"NRRD"

MOST_DIMENSIONS = 10
"""Most dimensions of a MetaImage that ITK has room for."""

METAIMAGE_TYPES = (
    *("MET_CHAR", "MET_UCHAR", "MET_SHORT", "MET_USHORT", "MET_INT", "MET_UINT", "MET_LONG", "MET_ULONG"),
    *("MET_LONG_LONG", "MET_ULONG_LONG", "MET_FLOAT", "MET_DOUBLE"),
)

METAIMAGE_UNITS = frozenset({"", "?", "mm"})

NRRD_UNITS = frozenset({"", "mm", "millimeter", "millimeters", "millimetre", "millimetres"})


@dataclass(frozen=True)
class StoredVoxels:
    """The part of a file that holds voxels.

    Args:
        path: the file, which for `.mhd` is another than the header's.
        offset: first byte of the voxels.
        compressed: whether they are a zlib or gzip stream.
        skipped: bytes before the voxels in what a compressed stream decompresses to.
        exact: whether the voxels begin at `offset`, rather than somewhere after it.
    """

    path: Path
    offset: int
    compressed: bool
    skipped: int = 0
    exact: bool = True

    @property
    def capacity(self) -> int:
        """Most bytes of voxels that the file can hold."""
        return max(0, self.path.stat().st_size - self.offset) * (DEFLATE_RATIO if self.compressed else 1)

    def surplus(self, voxel_bytes: int) -> int:
        """Return how many bytes follow the voxels, padding apart; 0 if unknown, as for a compressed stream."""
        if self.compressed or not self.exact or voxel_bytes <= 0:
            return 0
        return surplus_bytes(self.path, self.offset + voxel_bytes)

    def verify(self, voxel_bytes: int) -> None:
        """Read a compressed stream to its end, where its checksum is; of one that is too long, no more than needed.

        Raises:
            zlib.error: the stream is damaged.
            EOFError: it ends early.
            ValueError: it has another length than the voxels.
        """
        if not self.compressed:
            return
        expected, found = self.skipped + voxel_bytes, 0
        stream = zlib.decompressobj(ZLIB_OR_GZIP)
        with self.path.open("rb") as file:
            file.seek(self.offset)
            waiting = b""
            while found <= expected and (waiting := waiting or file.read(CHUNK_BYTES)):
                if stream.eof:
                    if not waiting.startswith(GZIP_START):
                        break
                    stream = zlib.decompressobj(ZLIB_OR_GZIP)  # gzip streams may follow each other
                found += len(stream.decompress(waiting, CHUNK_BYTES))
                waiting = stream.unused_data if stream.eof else stream.unconsumed_tail
        if found > expected or (stream.eof and found < expected):
            amount = f"more than {expected}" if found > expected else str(found)
            raise ValueError(f"{amount} bytes of voxels when decompressed, its header describes {expected}")
        if not stream.eof:
            raise EOFError("compressed voxels end early")


def find_stored_voxels(path: Path) -> StoredVoxels | None:
    """Find the voxels of a NRRD or MetaImage file.

    Args:
        path: the file with the header.

    Returns:
        Where the voxels are; None if they are text, bzip2, or in several files.

    Raises:
        FileNotFoundError: the data file that the header names does not exist.
        VolumeError: the header names itself, or breaks a rule of `read_fields`.
    """
    fields, header_bytes = read_fields(path)
    is_nrrd = path.suffix.lower() == ".nrrd"
    if is_nrrd:
        name = fields.get("data file", fields.get("datafile"))
        encoding = fields.get("encoding", "").lower()
        plain, compressed = encoding == "raw", encoding in ("gzip", "gz")
    else:
        name = None if fields.get("elementdatafile") == "LOCAL" else fields.get("elementdatafile")
        compressed = fields.get("compresseddata", "").lower() == "true"
        plain = not compressed and fields.get("binarydata", "").lower() == "true"
    voxels = path if name is None else path.parent / name
    is_one_name = name != "LIST" and len(voxels.name.split()) == 1  # no list, nor a pattern and its range
    if is_one_name and not voxels.is_file():
        raise FileNotFoundError(f"its data file {name} does not exist")
    if not (plain or compressed) or not voxels.is_file():
        return None
    if name is not None and voxels.samefile(path):
        raise VolumeError(path, f"data file {name}", "must be another file than its header")
    # A negative length means that the voxels are the end of the file, whatever comes before.
    skipped = fields.get("headersize") or fields.get("byte skip") or fields.get("byteskip") or "0"
    lines = fields.get("line skip") or fields.get("lineskip") or "0"
    skipped_bytes = int(skipped) if skipped.isdecimal() else 0
    decompressed_first = compressed and is_nrrd  # then the skipped bytes are compressed too
    return StoredVoxels(
        path=voxels,
        offset=(header_bytes if name is None else 0) + (0 if decompressed_first else skipped_bytes),
        compressed=compressed,
        skipped=skipped_bytes if decompressed_first else 0,
        exact=skipped.isdecimal() and lines == "0" and not (name is None and "headersize" in fields),
    )


def data_files(path: Path) -> list[Path]:
    """Return the files of voxels that a NRRD or MetaImage header names; if they are a list or a pattern, all beside it.

    Raises:
        VolumeError: see `read_fields`.
        OSError: a file or folder cannot be read.
    """
    fields, _ = read_fields(path)
    name = fields.get("data file", fields.get("datafile", fields.get("elementdatafile", "LOCAL")))
    voxels = path.parent / name
    if name == "LOCAL" or voxels.is_file():
        return [] if name == "LOCAL" else [voxels]
    return sorted(file for file in voxels.parent.iterdir() if file.is_file() and file != path)


def read_fields(path: Path) -> tuple[dict[str, str], int]:
    """Read the fields of a text header, names in lower case, and the header's length in bytes.

    A NRRD header ends with an empty line, a MetaImage header with the field ElementDataFile.

    Raises:
        VolumeError: the header would make ITK end the process, or has lengths in another unit than mm.
        ValueError: a file called .nrrd does not begin as one.
    """
    is_nrrd = path.suffix.lower() == ".nrrd"
    separator = ":" if is_nrrd else "="
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        if is_nrrd and (start := file.read(len(NRRD_START))) != NRRD_START:
            raise ValueError(f"begins with {start!r} instead of {NRRD_START!r}")
        while line := file.readline(LONGEST_LINE).decode("latin-1").strip():
            name, _, value = line.partition(separator)
            if is_nrrd and len(line) > LONGEST_NRRD_FIELD and not value.startswith("=") and not line.startswith("#"):
                raise VolumeError(path, f"header field of {len(line)} bytes", f"must have at most {LONGEST_NRRD_FIELD}")
            fields[name.strip().lower()] = value.strip()
            if name.strip().lower() == "elementdatafile":
                break
            if file.tell() > LONGEST_HEADER:
                raise ValueError(f"its header is longer than {LONGEST_HEADER} bytes")
        length = file.tell()
    if is_nrrd:
        _check_nrrd(path, fields)
    else:
        _check_metaimage(path, fields)
    return fields, length


def _check_nrrd(path: Path, fields: Mapping[str, str]) -> None:
    units = fields.get("space units", fields.get("spaceunits", "")).split('"')[1::2]
    for unit in units[:3]:
        if unit.strip().lower() not in NRRD_UNITS:
            raise VolumeError(path, f"space units {unit[:20]!r}", "lengths must be in mm")


def _check_metaimage(path: Path, fields: Mapping[str, str]) -> None:
    dimensions = fields.get("ndims", "3")
    if not dimensions.isdecimal() or not 1 <= int(dimensions[:9]) <= MOST_DIMENSIONS:
        raise VolumeError(path, f"NDims {dimensions[:20]!r}", f"must be from 1 to {MOST_DIMENSIONS}")
    element = fields.get("elementtype", "MET_SHORT").removesuffix("_ARRAY")
    if element not in METAIMAGE_TYPES:
        raise VolumeError(path, f"ElementType {element[:20]!r}", f"must be one of {', '.join(METAIMAGE_TYPES)}")
    unit = fields.get("distanceunits", "").strip('"')
    if unit not in METAIMAGE_UNITS:
        raise VolumeError(path, f"DistanceUnits {unit[:20]!r}", "lengths must be in mm")
