"""Cases to predict, from a command line, a folder or a list, in any format."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.io.dicom.series import ZIP_EXTENSION
from hybridseg.transforms.io.dicom.slices import find_slices
from hybridseg.transforms.io.dicom.stored import is_dicom
from hybridseg.transforms.io.names import (
    VOLUME_EXTENSIONS,
    case_name,
    composed,
    group_channels,
    list_volumes,
    volume_extension,
)

from .input_case import DicomChoice, InputCase, is_zip
from .input_list import LIST_EXTENSIONS, read_list

FIRST_CHANNEL = "_0000"


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
    return composed(Path(os.path.abspath(folder)).name)


def name_below(top: Path, place: Path) -> str:
    """Return the name of a case in a folder: `a_b` for `a/b` below the top, or the top's own name."""
    return composed("_".join(place.relative_to(top).parts)) or own_name(top)


def folders(folder: Path) -> Iterator[str]:
    """Yield a folder and all folders below it, sorted by name."""
    for place, below, _ in os.walk(folder):
        below.sort()
        yield place


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
