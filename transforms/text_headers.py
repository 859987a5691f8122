"""The text headers of NRRD and MetaImage files, read on our own before ITK reads them.

ITK takes the whole process down over some broken headers, and misses what others say about units.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .errors import VolumeError

LONGEST_LINE = 1 << 16
LONGEST_NRRD_FIELD = 500
"""Bytes of a NRRD field, `sizes: 14 12 10`; ITK writes beyond its memory at some 1000. A key:=value may be long."""

NRRD_START = b"NRRD"

MOST_DIMENSIONS = 10
"""Of a MetaImage; ITK has room for no more."""

METAIMAGE_TYPES = (
    *("MET_CHAR", "MET_UCHAR", "MET_SHORT", "MET_USHORT", "MET_INT", "MET_UINT", "MET_LONG", "MET_ULONG"),
    *("MET_LONG_LONG", "MET_ULONG_LONG", "MET_FLOAT", "MET_DOUBLE"),
)
METAIMAGE_UNITS = frozenset({"", "?", "mm"})
NRRD_UNITS = frozenset({"", "mm", "millimeter", "millimeters", "millimetre", "millimetres"})


def read_fields(path: Path) -> tuple[dict[str, str], int]:
    """The fields of a text header, names in lower case, and the header's length in bytes.

    A NRRD header ends with an empty line, that of a MetaImage with the field ElementDataFile.

    Raises:
        VolumeError: the header would make ITK end the process, or holds lengths in another unit than mm.
        ValueError: what is called NRRD does not begin as such.
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
        length = file.tell()
    if is_nrrd:
        _check_nrrd(path, fields)
    else:
        _check_metaimage(path, fields)
    return fields, length


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


def _check_nrrd(path: Path, fields: Mapping[str, str]) -> None:
    units = fields.get("space units", fields.get("spaceunits", "")).split('"')[1::2]
    for unit in units[:3]:
        if unit.strip().lower() not in NRRD_UNITS:
            raise VolumeError(path, f"space units {unit[:20]!r}", "lengths must be in mm")
