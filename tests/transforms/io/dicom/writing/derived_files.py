"""Series of many kinds for the tests of derived objects, and what other programs find in these objects."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import DataElement
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import NuclearMedicineImageStorage, RTImageStorage

from ..dicom_files import OBLIQUE, SHAPE, SPACING, VOXELS
from ..pydicom_files import EVEN, Change, positions_along, write_classic, write_enhanced

NAMES = {1: "liver", 4: "kidney_left", 5: "something new", 9: "spleen"}
LABELS = np.zeros(SHAPE, np.uint8)
LABELS[1:6, 1:6, 0:2] = 1
LABELS[3, 3, 0] = 0  # a hole
LABELS[6:8, 1:2, 1:4] = 4
LABELS[5:6, 6:7, 4:5] = 5  # no voxel has label 9, and slice 3 has only one label
TILT = np.tan(np.deg2rad(15))


def with_values(**values: str | None) -> Change:
    """Return a change that stores values which pydicom would not allow; None removes an attribute."""

    def change(dataset: Any, index: int) -> None:
        for keyword, value in values.items():
            tag = tag_for_keyword(keyword)
            assert tag is not None
            if value is None:
                dataset.pop(tag, None)
            else:
                dataset.add(DataElement(tag, dictionary_VR(tag), value, already_converted=True))

    return change


def of_class(uid: str) -> Change:
    """Return a change of the kind of each file."""

    def change(dataset: Any, index: int) -> None:
        dataset.SOPClassUID = uid
        if uid != RTImageStorage:
            dataset.NumberOfFrames = 1

    return change


def classic(*changes: Change, **options: Any) -> Callable[[Path], Path]:
    """Return a function that writes a series of single slices to a folder."""

    def write(folder: Path) -> Path:
        def change(dataset: Any, index: int) -> None:
            for one in changes:
                one(dataset, index)

        return write_classic(folder, change=change, **options)

    return write


def single_frames(folder: Path) -> Path:
    """Write an enhanced series with a file for each slice."""
    for index, position in enumerate(EVEN):
        write_enhanced(
            folder, {0: VOXELS[:, :, index : index + 1]}, positions=position[None], name=f"{(index * 7) % len(EVEN)}"
        )
    return folder


KINDS: dict[str, Callable[[Path], Path]] = {
    "CT": classic(),
    "MR": classic(modality="MR"),
    "PET": classic(modality="PT"),
    "no SliceThickness": classic(with_values(SliceThickness=None)),
    "SliceThickness with a unit": classic(with_values(SliceThickness="5 mm")),
    "invalid StudyDate": classic(with_values(StudyDate="2020-13-45")),
    "invalid StudyTime": classic(with_values(StudyTime="half past 9")),
    "invalid PatientBirthDate": classic(with_values(PatientBirthDate="unknown")),
    "invalid PatientSex": classic(with_values(PatientSex="female")),
    "invalid SeriesNumber": classic(with_values(SeriesNumber="4a")),
    "invalid StudyInstanceUID": classic(with_values(StudyInstanceUID="1.2.study")),
    "StudyID too long": classic(with_values(StudyID="a study with a long name")),
    "no patient and no study": classic(
        with_values(PatientName=None, PatientID=None, StudyInstanceUID="", FrameOfReferenceUID="")
    ),
    "NM": classic(of_class(NuclearMedicineImageStorage)),
    "RT image": classic(of_class(RTImageStorage)),
    "single-frame enhanced": single_frames,
    "enhanced CT": write_enhanced,
    "enhanced CT in reverse": lambda folder: write_enhanced(folder, order=range(len(EVEN))[::-1]),
    "enhanced MR": lambda folder: write_enhanced(folder, modality="MR"),
    "tilted gantry": classic(positions=positions_along(SPACING[2] * OBLIQUE[:, 2] + SPACING[2] * TILT * OBLIQUE[:, 1])),
}


def run(*words: str | Path) -> str:
    """Run a program of another project, and return what it printed; skip the test where it is not installed."""
    if shutil.which(str(words[0])) is None:
        pytest.skip(f"needs {words[0]}")
    result = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    return result.stdout + result.stderr


def standard_errors(path: Path) -> list[str]:
    """Return the errors that dciodvfy (dicom3tools) finds in a DICOM file."""
    return [line for line in run("dciodvfy", path).splitlines() if line.startswith("Error")]


def fill(contours: list[NDArray[np.float64]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Fill contours (column, row) by the even-odd rule: a ray from a voxel within crosses an odd number of lines."""
    columns, rows = np.meshgrid(*map(np.arange, shape), indexing="ij")
    inside = np.zeros(shape, bool)
    for contour in contours:
        for (x0, y0), (x1, y1) in zip(contour, np.roll(contour, -1, axis=0), strict=True):
            if y0 != y1:
                inside ^= ((y0 > rows) != (y1 > rows)) & (columns < (x1 - x0) * (rows - y0) / (y1 - y0) + x0)
    return inside
