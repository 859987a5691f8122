"""Cases to predict, from a command line, a folder or a list, in any format."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.io.dicom.series import ZIP_EXTENSION, DicomFolder, open_series
from hybridseg.transforms.io.dicom.slices import find_slices
from hybridseg.transforms.io.dicom.stored import is_dicom
from hybridseg.transforms.io.json_files import read_json
from hybridseg.transforms.io.names import VOLUME_EXTENSIONS, case_name, group_channels, list_volumes, volume_extension

LIST_EXTENSIONS = (".json", ".csv")
MOST_FILES_OPENED = 100
"""Limit per folder when looking for DICOM slices, for a hint only."""

COLUMN = re.compile(r"image\d*")
OTHER_COLUMNS = ("case", "series")
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

    def notes(self) -> list[str]:
        """Return what reading its DICOM series chooses, skips or corrects, a line each.

        Raises:
            VolumeError: a series cannot be read.
        """
        lines: list[str] = []
        for image in self.images:
            if isinstance(image, DicomFolder):
                with open_series(image) as series:
                    lines += series.notes
        return lines


@dataclass(frozen=True, kw_only=True)
class DicomChoice:
    """What to read from folders and zips with DICOM.

    Args:
        channels: number of channels that the network takes.
        series: series to read, by UID or number: one, or one per channel; empty to choose those that fit.
        modalities: modality of each channel in DICOM, such as CT; empty or None if not known.
        fill_gaps: interpolate a missing slice.

    Raises:
        ValueError: there are several series, but not one per channel.
    """

    channels: int = 1
    series: Sequence[str] = ()
    modalities: Sequence[str | None] = ()
    fill_gaps: bool = False

    def __post_init__(self) -> None:
        if len(self.series) not in (0, 1, self.channels):
            raise ValueError(
                f"series: {','.join(self.series)}: must be one, or one for each of {self.channels} channels"
            )

    def channel(self, place: Path, index: int) -> DicomFolder:
        """Return what to read from a folder or zip that has a channel."""
        series = (self.series[index % len(self.series)] or None) if self.series else None
        modality = self.modalities[index] if index < len(self.modalities) else None
        return DicomFolder(place, series, modality, self.fill_gaps, is_channel=self.channels > 1)

    def case(self, name: str, place: Path) -> InputCase:
        """Return the case in a folder or zip that has all channels.

        Raises:
            VolumeError: it is not known which series is which channel.
        """
        if self.channels > 1 and len(self.series) < 2 and not self.tells_channels:
            rule = "name the series of each, --series UID,UID, or list their folders (.csv)"
            raise VolumeError(place, f"one folder for {self.channels} channels", rule)
        return InputCase(name, tuple(self.channel(place, index) for index in range(self.channels)))

    @property
    def tells_channels(self) -> bool:
        """Whether each channel has a modality of its own."""
        known = set(self.modalities) - {None}
        return self.channels == len(self.modalities) == len(known)


def find_cases(
    inputs: Sequence[PathLike],
    *,
    channels: int = 1,
    series: str | None = None,
    modalities: Sequence[str | None] = (),
    fill_gaps: bool = False,
) -> list[InputCase]:
    """Find the cases in files and folders, in the order given.

    - A volume is a case. If the network takes several channels, `case_0000.nii.gz`, `case_0001.nii.gz` and so on are
      one case; if it takes one, and all volumes end in `_0000`, that ending is dropped, as in nnU-Net's label maps.
    - A zip is a case: a DICOM series, or one series per channel.
    - A folder with DICOM slices is a case, whatever else is in it. Another folder gives the volumes and zips in it; if
      there are none, every folder below with slices of the network's modality, where `a/b` is called `a_b`. If the
      network takes channels of several modalities, folders below that have one each are one case, called after the
      folder that holds them.
    - A list gives the cases that it names: `.csv` with columns `case`, `image` and optionally `image2` and so on, or
      `.json` with a list of objects with these keys. Paths are relative to the list's folder. A column
      `series` names those of a case, as the option does.

    Args:
        inputs: files and folders.
        channels: number of channels that the network takes.
        series: DICOM series to read, by SeriesInstanceUID or SeriesNumber; for several channels one, or one each
            separated by commas.
        modalities: DICOM modality of each channel, to choose series by.
        fill_gaps: interpolate a missing slice of a DICOM series.

    Raises:
        VolumeError: a path has no case, a list is invalid, channels are missing, it is not clear what a folder holds,
            or two cases have the same name.
        ValueError: no inputs, or another number of series than of channels.
    """
    if not inputs:
        raise ValueError("inputs: none: at least one file or folder is needed")
    named = tuple(series.split(",")) if series else ()
    dicom = DicomChoice(channels=channels, series=named, modalities=modalities, fill_gaps=fill_gaps)
    cases: list[InputCase] = []
    loose: list[Path] = []
    for given in map(Path, inputs):
        if given.suffix.lower() in LIST_EXTENSIONS and given.is_file():
            cases += read_list(given, dicom)
        elif given.is_dir():
            cases += folder_cases(given, dicom)
        elif not given.exists():
            raise VolumeError(given, "does not exist", "must be a file or a folder")
        elif is_zip(given):
            cases.append(dicom.case(given.stem, given))
        elif volume_extension(given):
            loose.append(given)
        else:
            known = ", ".join((*VOLUME_EXTENSIONS, ZIP_EXTENSION, *LIST_EXTENSIONS))
            hint = ", or the folder of a DICOM series" if is_dicom(given) else ""
            raise VolumeError(given, f"extension {given.suffix!r}", f"must be one of {known}{hint}")
    cases += as_cases(loose, channels)
    check_case_names(cases)
    return cases


def folder_cases(folder: Path, dicom: DicomChoice) -> list[InputCase]:
    """Find the cases in a folder.

    Raises:
        VolumeError: it holds none, or a single DICOM slice beside volumes.
    """
    volumes = list_volumes(folder)
    zips = sorted(path for path in folder.iterdir() if is_zip(path))
    if not volumes and not zips:
        return dicom_cases(folder, dicom)
    slices = list(islice(find_slices(folder), 2))
    if len(slices) == 1 and slices[0].frames == 1:
        found = f"{slices[0].path.name}, a single DICOM slice, beside {(*volumes, *zips)[0].name}"
        raise VolumeError(folder, found, "must hold a series or volumes: name the files to read")
    if slices:
        return [dicom.case(own_name(folder), folder)]
    return [*as_cases(volumes, dicom.channels), *(dicom.case(path.stem, path) for path in zips)]


def beside_slices(cases: Iterable[InputCase]) -> list[Path]:
    """Return the volumes and zips that `find_cases` skips, since they are beside the slices of a case."""
    places = {Path(image): None for case in cases for image in case.images if isinstance(image, DicomFolder)}
    return [path for place in places if place.is_dir() for path in sorted(place.iterdir()) if is_case(path)]


def other_slices(inputs: Sequence[PathLike], cases: Iterable[InputCase]) -> list[Path]:
    """Return the folders with slices below an input that `find_cases` skips, since they are of another modality."""
    read = {Path(image) for case in cases for image in case.images if isinstance(image, DicomFolder)}
    above = {folder for place in read for folder in place.parents}
    trees = [path for path in map(Path, inputs) if path.is_dir() and path in above]
    below = {Path(place): None for tree in trees for place in folders(tree)}
    return [place for place in below if place not in read and next(find_slices(place), None)]


def passed_over(inputs: Sequence[PathLike]) -> list[Path]:
    """Return the folders with volumes, zips or slices that `find_cases` skips, since a folder above holds some.

    Not among them: inputs, folders of input files, and folders that cannot be read.
    """
    given = [Path(path) for path in inputs]
    named = {(path if path.is_dir() else path.parent).resolve() for path in given}
    above = [
        path for path in given if path.is_dir() and any(is_case(file) or is_dicom(file) for file in path.iterdir())
    ]
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


def dicom_cases(folder: Path, dicom: DicomChoice) -> list[InputCase]:
    """Make a case of the folder if it holds slices, otherwise of every folder below that does.

    Of several folders, those are left out whose slices are of another modality than that of the network. Links are not
    followed.

    Raises:
        VolumeError: there are no slices.
    """
    found = [place for place in map(Path, folders(folder)) if next(find_slices(place), None)]
    if found[:1] == [folder]:
        return [dicom.case(own_name(folder), folder)]
    if not found:
        known = ", ".join((*VOLUME_EXTENSIONS, ZIP_EXTENSION))
        rule = (
            f"a folder must hold files ending in {known}, or DICOM slices; name volumes in subfolders in a list (.csv)"
        )
        raise VolumeError(folder, "no volumes", rule)
    if dicom.channels > 1 and dicom.tells_channels and not dicom.series:
        return by_modality(folder, folder, found, dicom)
    if dicom.channels == 1 and not dicom.series:
        wanted = {"", *dicom.modalities}
        found = [place for place in found if modality_in(place) in wanted] or found
    return [dicom.case(name_below(folder, place), place) for place in found]


def by_modality(top: Path, folder: Path, found: Sequence[Path], dicom: DicomChoice) -> list[InputCase]:
    """Make one case of the folders below a folder if each channel has one of them by the modality of its slices.

    Otherwise the folders are divided by the next folder above them.

    Args:
        top: the folder that names are relative to.
        folder: the folder above those with slices.
        found: the folders with slices.
        dicom: what to read.
    """
    if found == [folder]:
        return [dicom.case(name_below(top, folder), folder)]
    modality = {place: modality_in(place) for place in found}
    channels = [[place for place in found if modality[place] == wanted] for wanted in dicom.modalities]
    if all(len(places) == 1 for places in channels):
        images = [dicom.channel(place, index) for index, (place,) in enumerate(channels)]
        patient = Path(os.path.commonpath([place for (place,) in channels]))
        return [InputCase(name_below(top, patient), tuple(images))]
    below: dict[Path, list[Path]] = {}
    for place in found:
        below.setdefault(folder.joinpath(*place.relative_to(folder).parts[:1]), []).append(place)
    return [case for place, inside in below.items() for case in by_modality(top, place, inside, dicom)]


def modality_in(place: Path) -> str:
    """Return the modality of the first slice in a folder; empty if it does not say."""
    return next(find_slices(place)).modality


def own_name(folder: Path) -> str:
    """Return the name of a folder, which may be given as `.`."""
    return Path(os.path.abspath(folder)).name


def name_below(top: Path, place: Path) -> str:
    """Return the name of a case in a folder: `a_b` for `a/b` below the top, or the top's own name."""
    return "_".join(place.relative_to(top).parts) or own_name(top)


def folders(folder: Path) -> Iterator[str]:
    """Yield a folder and all folders below it, sorted by name."""
    for place, below, _ in os.walk(folder):
        below.sort()
        yield place


def read_list(path: Path, dicom: DicomChoice) -> list[InputCase]:
    """Read a list of cases in CSV or JSON.

    Raises:
        VolumeError: it cannot be read, is not a list of cases, or names a file that does not exist.
    """
    if path.suffix.lower() == ".csv":
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file, strict=True)
                rows: Any = list(reader)
        except (csv.Error, UnicodeDecodeError) as error:
            raise VolumeError(path, f"unreadable ({error})", "must be a CSV file in UTF-8") from error
        names = reader.fieldnames or []
        if twice := [name for name in names if names.count(name) > 1]:
            raise VolumeError(path, f"column {twice[0]!r} stands twice", "must have each column once")
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
            named_rule = "a name must be that of a file, without folders and without a dot at its begin"
            raise VolumeError(path, f"{where} is called {name!r}", named_rule)
        series = row.get("series")
        own = replace(dicom, series=tuple(str(series).split(","))) if series else dicom
        cases.append(listed_case(path, name, images, own))
    return cases


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
    if len(places) == 1 and holds_series(places[0]):
        return dicom.case(name, places[0])
    return InputCase(name, tuple(as_image(place, index, dicom) for index, place in enumerate(places)))


def as_image(place: Path, channel: int, dicom: DicomChoice) -> Path | DicomFolder:
    """Return a volume, or the series to read from a folder or zip."""
    return dicom.channel(place, channel) if holds_series(place) else place


def holds_series(place: Path) -> bool:
    """Return whether a path is read as DICOM: a folder or a zip."""
    return place.is_dir() or is_zip(place)


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
