"""Names of files and cases: which files are volumes, and the name of the case in each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from unicodedata import normalize

from hybridseg.transforms.errors import PathLike, VolumeError

NIFTI_EXTENSIONS = (".nii.gz", ".nii")
ITK_EXTENSIONS = (".nrrd", ".mha", ".mhd")
VOLUME_EXTENSIONS = NIFTI_EXTENSIONS + ITK_EXTENSIONS
SLICER_EXTENSION = ".seg.nrrd"
"""Ends the name of a segmentation of 3D Slicer, which is a NRRD whose header names the segments."""

CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
"""nnU-Net's names for the channels of a case: `case_0000.nii.gz`, `case_0001.nii.gz`."""


def volume_extension(path: PathLike) -> str:
    """Return the extension of a volume in lower case, with its dot; "" if the name is not a volume's.

    Examples:
        >>> volume_extension("scans/Patient.1.NII.GZ"), volume_extension("notes.txt")
        ('.nii.gz', '')
    """
    name = Path(path).name.lower()
    return next((extension for extension in VOLUME_EXTENSIONS if name.endswith(extension)), "")


def composed(name: str) -> str:
    """Return the name of a case with composed accents (Unicode NFC), since copies of a file may differ in that.

    Example:
        >>> composed("Mu\u0308ller") == "M\xfcller"
        True
    """
    return normalize("NFC", name)


def case_name(path: PathLike) -> str:
    """Return the file's name without a volume's extension, and without the `.seg` of 3D Slicer's segmentations.

    Examples:
        >>> case_name("scans/patient.1.nii.gz"), case_name("scans/patient.1.seg.nrrd")
        ('patient.1', 'patient.1')
    """
    name = composed(Path(path).name)
    if name.lower().endswith(SLICER_EXTENSION):
        return name[: -len(SLICER_EXTENSION)]
    return name[: len(name) - len(volume_extension(name))]


def list_volumes(folder: PathLike) -> list[Path]:
    """List the volumes directly in a folder, sorted by name, without hidden files such as macOS's `._name.nii.gz`.

    Raises:
        VolumeError: the folder cannot be listed.
    """
    try:
        entries = sorted(Path(folder).iterdir())
    except OSError as error:
        raise VolumeError(folder, error.strerror, "must be a folder that can be listed") from error
    return [entry for entry in entries if _is_volume_name(entry.name) and not entry.is_dir()]


def find_volumes(inputs: Sequence[PathLike]) -> list[Path]:
    """Find the volumes among files and folders of a command line.

    Args:
        inputs: files, or folders whose volumes are taken, sorted by name, without subfolders.

    Returns:
        The files in the order given, with unique case names.

    Raises:
        VolumeError: a path does not exist, a file's extension is not a volume's, a folder has no volumes, or two files
            have the same case name.
        ValueError: no inputs.
    """
    if not inputs:
        raise ValueError("inputs: none: at least one file or folder is needed")
    volumes = [volume for given in inputs for volume in _volumes_of(Path(given))]
    check_unique_cases(volumes)
    return volumes


def check_unique_cases(paths: Iterable[Path]) -> None:
    """Check that no two files have the same case name, since their results would have the same name.

    Raises:
        VolumeError: two files have the same case name; it names the second.
    """
    seen: dict[str, Path] = {}
    for path in paths:
        case = case_name(path)
        if case in seen:
            raise VolumeError(path, f"case name {case!r}, as {seen[case]}", "every input needs a case name of its own")
        seen[case] = path


def group_channels(volumes: Iterable[Path], channels: int) -> list[tuple[str, tuple[Path, ...]]]:
    """Group files of the same folder whose names differ in the channel only into cases.

    Args:
        volumes: files.
        channels: number of channels of each case.

    Returns:
        Name and files of each case: first the files without a channel in their names, one case each, then the groups.

    Raises:
        VolumeError: a case has missing, additional or repeated channels.
    """
    single, groups = by_channel(volumes)
    for files in groups.values():
        if sorted(files) != list(range(channels)):
            found = ", ".join(f"{channel:04d}" for channel in sorted(files))
            wanted = "0000" if channels == 1 else f"0000 to {channels - 1:04d}"
            raise VolumeError(next(iter(files.values())), f"channels {found}", f"must be {wanted}")
    named = [(name, tuple(files[index] for index in range(channels))) for (_, name), files in groups.items()]
    return [*((case_name(path), (path,)) for path in single), *named]


def by_channel(volumes: Iterable[Path]) -> tuple[list[Path], dict[tuple[Path, str], dict[int, Path]]]:
    """Sort files by the case and channel in their names.

    Returns:
        The files without a channel in their names; and by folder and case, the file of each channel.

    Raises:
        VolumeError: two files are the same channel of a case.
    """
    single: list[Path] = []
    groups: dict[tuple[Path, str], dict[int, Path]] = {}
    for path in volumes:
        match = CHANNEL.fullmatch(case_name(path))
        if match is None:
            single.append(path)
            continue
        files, channel = groups.setdefault((path.parent, match["case"]), {}), int(match["channel"])
        if channel in files:
            raise VolumeError(path, f"channel {channel:04d}, as {files[channel]}", "each channel may have one file")
        files[channel] = path
    return single, groups


def check_exists(path: Path) -> None:
    """Check that a file or folder exists.

    Raises:
        VolumeError: it does not.
    """
    if not path.exists():
        raise VolumeError(path, "does not exist", "must be a file or a folder")


def _volumes_of(path: Path) -> list[Path]:
    if path.is_dir():
        volumes = list_volumes(path)
        if not volumes:
            raise VolumeError(path, "no volumes", f"a folder must hold files ending in {', '.join(VOLUME_EXTENSIONS)}")
        return volumes
    check_exists(path)
    if not volume_extension(path):
        raise VolumeError(path, f"extension {path.suffix!r}", f"must be one of {', '.join(VOLUME_EXTENSIONS)}")
    return [path]


def _is_volume_name(name: str) -> bool:
    return bool(volume_extension(name)) and not name.startswith(".")
