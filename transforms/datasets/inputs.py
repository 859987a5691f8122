"""Cases to predict, from a command line, a folder or a list, in any format."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.io.dicom.series import ZIP_EXTENSION, DicomFolder
from hybridseg.transforms.io.dicom.stored import is_dicom
from hybridseg.transforms.io.json_files import read_json
from hybridseg.transforms.io.names import VOLUME_EXTENSIONS, case_name, group_channels, list_volumes, volume_extension

LIST_EXTENSIONS = (".json", ".csv")
MOST_FILES_OPENED = 100
"""Limit per folder when looking for DICOM slices, for a hint only."""

COLUMN = re.compile(r"image\d*")
FIRST_CHANNEL = "_0000"


@dataclass(frozen=True)
class InputCase:
    """A case to predict.

    Args:
        name: name of its results.
        images: a volume with all channels, or one per channel; DICOM as a `DicomFolder`.
    """

    name: str
    images: tuple[Path | DicomFolder, ...]

    @property
    def entry(self) -> dict[Hashable, Any]:
        """The case as a dictionary for a pipeline: `case` and `image`."""
        images = [image if isinstance(image, DicomFolder) else str(image) for image in self.images]
        return {"case": self.name, "image": images[0] if len(images) == 1 else images}


def find_cases(inputs: Sequence[PathLike], *, channels: int = 1, series: str | None = None) -> list[InputCase]:
    """Find the cases in files and folders, in the order given.

    - A volume is a case. If the network takes several channels, `case_0000.nii.gz`, `case_0001.nii.gz` and so on are
      one case; if it takes one, and all volumes end in `_0000`, that ending is dropped, as in nnU-Net's label maps.
    - A zip is a case: a DICOM series.
    - A folder gives the volumes and zips in it; if there are none, the DICOM series whose slices are in it; otherwise
      every folder below with slices, where `a/b` is called `a_b`.
    - A list gives the cases that it names: `.csv` with columns `case`, `image` and optionally `image2` and so on, or
      `.json` with a list of objects with these keys. Paths are relative to the list's folder.

    Args:
        inputs: files and folders.
        channels: number of channels that the network takes.
        series: DICOM series to read, by SeriesInstanceUID or SeriesNumber.

    Raises:
        VolumeError: a path has no case, a list is invalid, channels are missing, or two cases have the same name.
        ValueError: no inputs.
    """
    if not inputs:
        raise ValueError("inputs: none: at least one file or folder is needed")
    cases: list[InputCase] = []
    loose: list[Path] = []
    for given in map(Path, inputs):
        if given.suffix.lower() in LIST_EXTENSIONS and given.is_file():
            cases += read_list(given, series)
        elif given.is_dir():
            volumes = list_volumes(given)
            zips = sorted(path for path in given.iterdir() if is_zip(path))
            cases += as_cases(volumes, channels)
            cases += [InputCase(path.stem, (DicomFolder(path, series),)) for path in zips]
            if not volumes and not zips:
                cases += dicom_cases(given, series)
        elif not given.exists():
            raise VolumeError(given, "does not exist", "must be a file or a folder")
        elif is_zip(given):
            cases.append(InputCase(given.stem, (DicomFolder(given, series),)))
        elif volume_extension(given):
            loose.append(given)
        else:
            known = ", ".join((*VOLUME_EXTENSIONS, ZIP_EXTENSION, *LIST_EXTENSIONS))
            hint = ", or the folder of a DICOM series" if is_dicom(given) else ""
            raise VolumeError(given, f"extension {given.suffix!r}", f"must be one of {known}{hint}")
    cases += as_cases(loose, channels)
    check_case_names(cases)
    return cases


def passed_over(inputs: Sequence[PathLike]) -> list[Path]:
    """Return the folders with volumes, zips or slices that `find_cases` skips, since a folder above holds volumes.

    Not among them: inputs, folders of input files, and folders that cannot be read.
    """
    given = [Path(path) for path in inputs]
    named = {(path if path.is_dir() else path.parent).resolve() for path in given}
    above = [path for path in given if path.is_dir() and any(map(is_case, path.iterdir()))]
    below = {place.resolve(): place for folder in above for place in map(Path, folders(folder))}
    return [place for path, place in below.items() if path not in named and holds_case(place)]


def holds_case(folder: Path) -> bool:
    """Return whether a volume, a zip or a slice is among the first files of a folder; False if it cannot be read."""
    try:
        return any(is_case(path) or is_dicom(path) for path in islice(folder.iterdir(), MOST_FILES_OPENED))
    except OSError:
        return False


def is_case(path: Path) -> bool:
    """Return whether a file is a volume or a zip by its name."""
    return is_zip(path) or (bool(volume_extension(path)) and not path.name.startswith(".") and path.is_file())


def is_zip(path: Path) -> bool:
    """Return whether a file is a zip by its name."""
    return path.suffix.lower() == ZIP_EXTENSION and not path.name.startswith(".") and path.is_file()


def as_cases(volumes: Sequence[Path], channels: int) -> list[InputCase]:
    """Make a case of each volume, or of all volumes whose names differ in the channel only.

    If the network takes one channel, a number at the end of a name need not be that of a channel.

    Raises:
        VolumeError: a case has missing, additional or repeated channels.
    """
    if channels == 1 and not all(case_name(path).endswith(FIRST_CHANNEL) for path in volumes):
        return [InputCase(case_name(path), (path,)) for path in volumes]
    return [InputCase(name, images) for name, images in group_channels(volumes, channels)]


def dicom_cases(folder: Path, series: str | None) -> list[InputCase]:
    """Make a case of the folder if it holds slices, otherwise of every folder below that does.

    Links are not followed.

    Raises:
        VolumeError: there are no slices.
    """
    found = [Path(place) for place in folders(folder) if any(is_dicom(path) for path in Path(place).iterdir())]
    if found[:1] == [folder]:
        return [InputCase(Path(os.path.abspath(folder)).name, (DicomFolder(folder, series),))]
    if not found:
        known = ", ".join((*VOLUME_EXTENSIONS, ZIP_EXTENSION))
        rule = (
            f"a folder must hold files ending in {known}, or DICOM slices; name volumes in subfolders in a list (.csv)"
        )
        raise VolumeError(folder, "no volumes", rule)
    return [InputCase("_".join(place.relative_to(folder).parts), (DicomFolder(place, series),)) for place in found]


def folders(folder: Path) -> Iterator[str]:
    """Yield a folder and all folders below it, sorted by name."""
    for place, below, _ in os.walk(folder):
        below.sort()
        yield place


def read_list(path: Path, series: str | None) -> list[InputCase]:
    """Read a list of cases in CSV or JSON.

    Raises:
        VolumeError: it cannot be read, is not a list of cases, or names a file that does not exist.
    """
    if path.suffix.lower() == ".csv":
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows: Any = list(csv.DictReader(file, strict=True))
        except (csv.Error, UnicodeDecodeError) as error:
            raise VolumeError(path, f"unreadable ({error})", "must be a CSV file in UTF-8") from error
    else:
        rows = read_json(path)
    rule = "must have the columns case, image and optionally image2 and so on"
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
        raise VolumeError(path, "not a list of cases", rule)
    cases = []
    for number, row in enumerate(rows, start=1):
        where = f"case {number}"
        if unknown := [name for name in row if not (name == "case" or COLUMN.fullmatch(str(name)))]:
            raise VolumeError(path, f"{where} has {unknown[0]!r}", rule)
        columns = sorted((column for column in row if column != "case"), key=channel_of)
        name, images = row.get("case"), [row[column] or "" for column in columns]
        while images and not images[-1]:  # a case with fewer files than others
            images.pop()
        named = [name, *images]
        if not images or not all(isinstance(entry, str) and entry for entry in named):
            raise VolumeError(path, f"{where} lacks its name or image", rule)
        if Path(name).name != name:
            raise VolumeError(path, f"{where} is called {name!r}", "a name must be that of a file, without folders")
        cases.append(InputCase(name, tuple(listed_image(path, image, series) for image in images)))
    return cases


def channel_of(column: str) -> int:
    """Return the position of a column among the channels: `image` before `image2` before `image10`."""
    return int(column.removeprefix("image") or 0)


def listed_image(path: Path, image: str, series: str | None) -> Path | DicomFolder:
    """Return a volume or series that a list names."""
    place = path.parent / image
    if not place.exists():
        raise VolumeError(path, f"names {image}", "every image of a list must exist")
    return DicomFolder(place, series) if place.is_dir() or is_zip(place) else place


def check_case_names(cases: Iterable[InputCase]) -> None:
    """Check that each case has a name of its own, since its results are named by it.

    Raises:
        VolumeError: a case has no name or that of another; it names the file.
    """
    seen: dict[str, InputCase] = {}
    for case in cases:
        if not case.name:
            raise VolumeError(case.images[0], "no case name", "a file's name must be more than its extension")
        if case.name in seen:
            found = f"case name {case.name!r}, as {seen[case.name].images[0]}"
            rule = "every input needs a case name of its own, such as in a list (.csv)"
            raise VolumeError(case.images[0], found, rule)
        seen[case.name] = case
