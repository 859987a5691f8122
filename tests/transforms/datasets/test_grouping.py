"""Cases of a patient, and cases with the same image, are found and stay together."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from hybridseg.transforms.datasets.dataset import LabelledCase
from hybridseg.transforms.datasets.grouping import Patients, find_patients, split_patients
from hybridseg.transforms.io.dicom import DicomFolder

from ..io.dicom.dicom_files import write_series


def case(folder: Path, name: str, seed: int, suffix: str = ".nii.gz") -> LabelledCase:
    path = folder / f"{name}{suffix}"
    voxels = np.random.default_rng(seed).normal(size=(5, 4, 3)).astype(np.float32)
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), path)
    return {"case": name, "image": str(path), "label": str(path)}


def test_patients_are_found_by_the_pattern_of_names(tmp_path: Path) -> None:
    names = [f"patient{patient:03}_frame{frame:02}" for patient in range(3) for frame in (1, 2)]
    cases = [case(tmp_path, name, seed) for seed, name in enumerate(names)]
    patients = find_patients(cases)
    assert patients("patient001_frame02") == patients("patient001_frame01") != patients("patient002_frame01")
    assert patients.assumptions == ["6 cases of 3 patients, by their names: patient000_frame01 is of patient000"]
    assert len(set(find_patients(cases, pattern=".*").by_case.values())) == 6


def test_same_image_under_two_names_is_one_patient(tmp_path: Path) -> None:
    cases = [case(tmp_path, "a", 1), case(tmp_path, "b", 2), case(tmp_path, "c", 1, ".nii")]
    patients = find_patients(cases)
    assert (patients("a") == patients("c"), patients("a") == patients("b")) == (True, False)
    assert patients.assumptions == ["a and c have the same image and count as one patient"]


def dicom_case(folder: Path, name: str, patient: str, series: str = "1.2.3", start: int = 0) -> LabelledCase:
    write_series(folder, tags={"0010|0020": patient, "0020|000e": series}, start=start)
    return {"case": name, "image": str(folder), "label": ""}


def test_studies_with_one_patient_id_are_one_patient(tmp_path: Path) -> None:
    """The second and third study are in one folder, each named by its series."""
    first = dicom_case(tmp_path / "a", "exam_x", "MRN1")
    dicom_case(tmp_path / "b", "exam_y", "MRN2", "1.2.5")
    dicom_case(tmp_path / "b", "exam_z", "MRN1", "1.2.6", start=10)
    second, third = (
        LabelledCase(case=name, image=DicomFolder(tmp_path / "b", series), label="")
        for name, series in (("exam_y", "1.2.5"), ("exam_z", "1.2.6"))
    )
    fourth, fifth = (dicom_case(tmp_path / name, name, "") for name in ("exam_v", "exam_w"))
    cases = [first, second, third, fourth, fifth]
    patients = find_patients(cases)
    assert patients("exam_x") == patients("exam_z")
    assert len(set(patients.by_case.values())) == 4
    assert patients.assumptions == ["exam_x and exam_z have the same PatientID and count as one patient"]
    assert len(set(find_patients(cases, pattern=".*").by_case.values())) == 5


@pytest.mark.parametrize("ids", [("ANONYMOUS", "ANONYMOUS"), ("ANONYMOUS", "ANONYMOUS", ""), ("", "", "MRN1")])
def test_patient_id_shared_by_all_cases_is_ignored(tmp_path: Path, ids: tuple[str, ...]) -> None:
    """By all that have one."""
    names = ("liver", "spleen", "kidney")[: len(ids)]
    cases = [dicom_case(tmp_path / name, name, patient) for name, patient in zip(names, ids, strict=True)]
    patients = find_patients(cases)
    assert (patients.by_case, patients.assumptions) == ({name: name for name in names}, [])


def test_all_cases_of_two_patients_with_one_image_join(tmp_path: Path) -> None:
    names = ["p1_t0", "p1_t1", "p2_t0", "p2_t1", "p3_t0"]
    cases = [case(tmp_path, name, seed) for name, seed in zip(names, (1, 2, 3, 1, 4), strict=True)]
    patients = find_patients(cases)
    assert len({patients(name) for name in names[:4]}) == 1
    assert patients("p3_t0") != patients("p1_t0")


def test_patients_in_several_folds_are_listed() -> None:
    patients = Patients({"a1": "a", "a2": "a", "b1": "b"})
    assert split_patients([["a1", "a2"], ["b1"]], patients) == []
    assert split_patients([["a1"], ["a2", "b1"]], patients) == ["a"]


def test_pattern_that_a_name_lacks_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"patient: '\^p': must be found in the name of every case: not in 'a'"):
        find_patients([case(tmp_path, "a", 1)], pattern="^p")


def test_twice_annotated_patient_of_the_cardiac_data_is_one(data_dir: Path) -> None:
    names = ["patient074_frame01", "patient075_frame01", "patient076_frame01"]
    folder = data_dir / "cardiac_cine_mri" / "imagesTr"
    cases: list[LabelledCase] = [
        {"case": name, "image": str(folder / f"{name}_0000.nii.gz"), "label": ""} for name in names
    ]
    patients = find_patients(cases)
    assert len({patients(name) for name in names}) == 2
    assert patients(names[0]) == patients(names[2])
