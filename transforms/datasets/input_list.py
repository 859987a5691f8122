"""Lists of cases to predict, in CSV or JSON."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.dicom.series import DicomFolder, is_series
from hybridseg.transforms.io.json_files import read_json
from hybridseg.transforms.io.names import composed

from .input_case import DicomChoice, InputCase

LIST_EXTENSIONS = (".json", ".csv")
COLUMN = re.compile(r"image\d*")
OTHER_COLUMNS = ("case", "series")


def read_list(path: Path, dicom: DicomChoice) -> list[InputCase]:
    """Read a list of cases in CSV or JSON.

    Raises:
        VolumeError: it cannot be read, is not a list of cases, or names a file that does not exist.
    """
    if path.suffix.lower() == ".csv":
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file, strict=True, delimiter=delimiter_of(file.readline()))
                file.seek(0)
                rows: Any = list(reader)
        except (csv.Error, UnicodeDecodeError) as error:
            raise VolumeError(path, f"unreadable ({error})", "must be a CSV file in UTF-8") from error
        names = reader.fieldnames or []
        if twice := [name for name in names if names.count(name) > 1]:
            raise VolumeError(path, f"duplicate column {twice[0]!r}", "must have each column once")
    else:
        rows = read_json(path)
    rule = "must have the columns case, image and optionally image2 and so on, series"
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
        raise VolumeError(path, "not a list of cases", rule)
    cases = []
    for number, row in enumerate(rows, start=1):
        where = f"case {number}"
        if unknown := [name for name in row if not (name in OTHER_COLUMNS or COLUMN.fullmatch(str(name)))]:
            raise VolumeError(path, f"{where} has {unknown[0]!r}", rule)
        columns = sorted((column for column in row if column not in OTHER_COLUMNS), key=channel_of)
        name, images = row.get("case"), [row[column] or "" for column in columns]
        while images and not images[-1]:  # a case with fewer files than others
            images.pop()
        named = [name, *images]
        if not images or not all(isinstance(entry, str) and entry for entry in named):
            raise VolumeError(path, f"{where} lacks its name or image", rule)
        if Path(name).name != name or name.startswith("."):
            named_rule = "a name must be a file name without folders, and must not start with a dot"
            raise VolumeError(path, f"{where} is called {name!r}", named_rule)
        series = row.get("series")
        own = replace(dicom, series=tuple(str(series).split(","))) if series else dicom
        cases.append(listed_case(path, composed(name), images, own))
    return cases


def delimiter_of(header: str) -> str:
    """Return what separates the columns of a CSV: a comma, or as spreadsheets save it, a semicolon or a tab."""
    return next((delimiter for delimiter in (";", "\t") if delimiter in header and "," not in header), ",")


def channel_of(column: str) -> int:
    """Return the position of a column among the channels: `image` before `image2` before `image10`."""
    return int(column.removeprefix("image") or 0)


def listed_case(path: Path, name: str, images: Sequence[str], dicom: DicomChoice) -> InputCase:
    """Return a case that a list names.

    Raises:
        VolumeError: an image does not exist.
    """
    places = [path.parent / image for image in images]
    for place, image in zip(places, images, strict=True):
        if not place.exists():
            raise VolumeError(path, f"names {image}", "every image of a list must exist")
    if len(places) == 1 and is_series(places[0]):
        return dicom.case(name, places[0])
    return InputCase(name, tuple(as_image(place, index, dicom) for index, place in enumerate(places)))


def as_image(place: Path, channel: int, dicom: DicomChoice) -> Path | DicomFolder:
    """Return a volume, or the series to read from a folder or zip."""
    return dicom.channel(place, channel) if is_series(place) else place
