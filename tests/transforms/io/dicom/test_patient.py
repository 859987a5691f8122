"""PatientID of a series is found for comparison, whatever else is in the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hybridseg.transforms import VolumeError
from hybridseg.transforms.io.dicom import DicomFolder
from hybridseg.transforms.io.dicom.patient import read_patient_id

from .pydicom_files import write_classic
from .variants import in_series, zipped


def other_patient(dataset: Any, index: int) -> None:
    in_series("1.2.4")(dataset, index)
    dataset.PatientID = " MRN2 "


def test_patient_of_each_series_is_found(tmp_path: Path) -> None:
    folder = write_classic(tmp_path / "both")
    assert read_patient_id(folder) == read_patient_id(zipped(folder)) == "MRN1"
    write_classic(folder, change=other_patient, prefix="other")
    found = [read_patient_id(DicomFolder(folder, series)) for series in ("1.2.3", "4", "1.2.4", "4/2")]
    assert found == ["MRN1", "MRN1", "MRN2", "MRN1"]


def test_series_without_a_patient_has_none(tmp_path: Path) -> None:
    assert read_patient_id(write_classic(tmp_path / "ct", change=lambda part, _: delattr(part, "PatientID"))) == ""


def test_damaged_value_is_an_error_of_one_line(tmp_path: Path) -> None:
    folder = write_classic(tmp_path / "ct")
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes().replace(b"\x10\x00\x20\x00LO", b"\x10\x00\x20\x00NO"))
    with pytest.raises(VolumeError, match=r"IM\d: unreadable \("):
        read_patient_id(folder)
