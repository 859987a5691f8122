"""What `find_cases` skips of its inputs, for warnings: beside the slices of a case, or in folders below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from hybridseg.transforms.errors import PathLike
from hybridseg.transforms.io.dicom.series import DicomFolder
from hybridseg.transforms.io.dicom.slices import find_slices
from hybridseg.transforms.io.dicom.stored import is_dicom
from hybridseg.transforms.io.names import volume_extension

from .input_case import InputCase, is_zip
from .inputs import folders

OTHER_FORMATS = (".hdr", ".img", ".img.gz", ".nhdr", ".mgz", ".mgh", ".mnc", ".gipl", ".vti", ".par", ".rec")
"""Extensions of volumes that are not read: pairs of header and voxels, FreeSurfer, MINC, GIPL, VTK, Philips."""

MOST_FILES_OPENED = 100
"""Limit per folder when looking for DICOM slices, for a hint only."""


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


def other_formats(inputs: Iterable[PathLike]) -> list[Path]:
    """Return the volumes that `find_cases` skips in folders, since they are in formats that are not read."""
    files = [file for path in map(Path, inputs) if path.is_dir() for file in sorted(path.iterdir())]
    return [file for file in files if file.name.lower().endswith(OTHER_FORMATS) and not file.name.startswith(".")]


def holds_case(folder: Path) -> bool:
    """Return whether a volume, a zip or a slice is among the first files of a folder; False if it cannot be read."""
    try:
        return any(is_case(path) or is_dicom(path) for path in islice(folder.iterdir(), MOST_FILES_OPENED))
    except OSError:
        return False


def is_case(path: Path) -> bool:
    """Return whether a file is a volume or a zip by its name."""
    return is_zip(path) or (bool(volume_extension(path)) and not path.name.startswith(".") and path.is_file())
