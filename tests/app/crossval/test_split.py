"""Folds are the bundle's or new ones; no patient is in two of them, and test cases are in none."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from hybridseg.app.crossval.split import make_split, read_cases, read_split, write_split
from hybridseg.transforms.datasets.splits import split_cases
from hybridseg.transforms.io.masks import MaskFile

from ...transforms.io.dicom.dicom_files import write_series
from ...transforms.io.masks.mask_files import write_rtstruct

NAMES = [f"p{patient}_visit{visit}" for patient in range(6) for visit in (1, 2)]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Six patients with two cases each."""
    for folder in ("images", "labels"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for seed, name in enumerate(NAMES):
            voxels = np.arange(seed, seed + 8, dtype=np.uint8).reshape(2, 2, 2)
            nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / "data" / folder / f"{name}.nii.gz")
    return tmp_path / "data"


def split_file(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "split.json"
    path.write_text(json.dumps(content))
    return path


def test_new_folds_keep_patients_together(dataset: Path) -> None:
    split = make_split(dataset, None, folds=3)
    assert sorted(case for fold in split.folds for case in fold) == NAMES
    patients = [{case.split("_")[0] for case in fold} for fold in split.folds]
    assert sum(map(len, patients)) == 6


def test_folds_and_test_cases_of_the_bundle_are_used(dataset: Path, tmp_path: Path) -> None:
    folds = {"folds": [NAMES[:4], NAMES[4:8]], "test": NAMES[8:]}
    split = make_split(dataset, split_file(tmp_path, folds))
    assert (split.folds, split.test) == (folds["folds"], folds["test"])


def test_folds_of_nnunet_are_used(dataset: Path, tmp_path: Path) -> None:
    splits = [{"train": NAMES[6:], "val": NAMES[:6]}, {"train": NAMES[:6], "val": NAMES[6:]}]
    assert make_split(dataset, split_file(tmp_path, splits)).folds == [NAMES[:6], NAMES[6:]]


def test_new_folds_leave_test_cases_out(dataset: Path, tmp_path: Path) -> None:
    listed = {"training": NAMES[:6], "validation": NAMES[6:10], "test": NAMES[10:]}
    split = make_split(dataset, split_file(tmp_path, listed), folds=2)
    assert sorted(case for fold in split.folds for case in fold) == NAMES[:10]
    assert split.test == NAMES[10:]


def test_split_of_another_dataset_is_ignored(dataset: Path, tmp_path: Path) -> None:
    split = make_split(dataset, split_file(tmp_path, {"folds": [["x"], ["y"]], "test": []}))
    assert (len(split.folds), split.test) == (5, [])


@pytest.mark.parametrize(
    "content",
    [
        {"folds": [NAMES[:3], NAMES[3:]], "test": []},
        {"folds": [NAMES[:4], NAMES[4:7]], "test": NAMES[7:]},
    ],
)
def test_bundle_that_splits_a_patient_is_an_error(dataset: Path, tmp_path: Path, content: object) -> None:
    with pytest.raises(ValueError, match=r"split.json: 1 patients, such as p\d, have cases in several folds, or in"):
        make_split(dataset, split_file(tmp_path, content))


def test_written_split_is_read_again_and_trains(dataset: Path, tmp_path: Path) -> None:
    split = make_split(dataset, None, folds=3)
    write_split(tmp_path / "written.json", split)
    assert read_split(tmp_path / "written.json") == split
    assert list(read_cases(dataset, split)) == NAMES
    subsets = split_cases(dataset, tmp_path / "written.json", fold=2)
    assert [case["case"] for case in subsets["validation"]] == split.folds[2]


def test_cases_of_dicom_have_the_channels_and_rois_asked_for(tmp_path: Path) -> None:
    contour = [[0, 0, 0], [9, 0, 0], [0, 9, 0]]
    for patient in "ab":
        for number, modality in enumerate(("CT", "MR")):
            folder, series = tmp_path / patient / modality, f"1.2.{ord(patient)}.{number}"
            write_series(folder, tags={"0008|0060": modality, "0020|000e": series})
            write_rtstruct(folder / "mask" / "RS.dcm", {"GTV_1": [contour]}, series=series)
    split = make_split(tmp_path, None, folds=2, channels=["CT"])
    assert sorted(split.patients) == ["a_CT", "b_CT"]
    cases = read_cases(tmp_path, split, rois={"GTV*": 1}, channels=["CT"])
    assert cases["a_CT"]["label"] == MaskFile(tmp_path / "a" / "CT" / "mask" / "RS.dcm", {"GTV*": 1})


EDITS: dict[str, tuple[dict[str, Any], str]] = {
    "case in two folds": (
        {"folds": [NAMES[:6], [*NAMES[6:], NAMES[0]]]},
        "'p0_visit1' in fold 0 and fold 1: a case may be listed once",
    ),
    "case twice": ({"folds": [[*NAMES[:6], NAMES[0]], NAMES[6:]]}, "'p0_visit1' in fold 0 and fold 0: a case may be"),
    "unknown case": ({"folds": [[*NAMES[:6], "p9"], NAMES[6:]]}, "'p9': must be in a fold or in test, and have a"),
    "case left out": ({"folds": [NAMES[:6], NAMES[7:]]}, "'p3_visit1': must be in a fold or in test, and have a"),
    "patient in two folds": (
        {"folds": [NAMES[:7], NAMES[7:]]},
        "patient 'p3' in fold 0 and fold 1: all cases of a patient must be in one fold, or in test",
    ),
    "no folds": ({"folds": []}, "folds: must be a list of at least two lists of case names"),
    "folds are text": ({"folds": ["a", "b"]}, "fold 0: must be a list of case names"),
    "numbers": ({"folds": [[1], [2]]}, "fold 0: must be a list of case names"),
    "test is null": ({"test": None}, "test: must be a list of case names"),
    "patients are a list": ({"patients": NAMES}, "patients: must have the patient of each case"),
    "patient is a number": ({"patients": dict.fromkeys(NAMES, 1)}, "patients: must have the patient of each case"),
    "settings": ({"settings": {"folds": 2}}, "settings: must have folds, patient and seed"),
    "assumptions": ({"assumptions": 5}, "assumptions: must be a list of sentences"),
}
"""Edits of a split, and the errors that they give."""


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_split_is_an_error_in_one_line(edit: str, dataset: Path, tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    write_split(path, make_split(dataset, split_file(tmp_path, {"folds": [NAMES[:6], NAMES[6:]]})))
    changes, message = EDITS[edit]
    split_file(tmp_path, {**json.loads(path.read_text()), **changes})
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {message}')}.*$"):
        read_split(path)


def test_other_files_and_other_datasets_are_errors(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"not the split of a cross-validation: must be written by hybridseg crossval"):
        read_split(split_file(tmp_path, {"folds": []}))
    split = make_split(dataset, None, folds=3)
    (dataset / "images" / f"{NAMES[0]}.nii.gz").unlink()
    with pytest.raises(ValueError, match=r"no case p0_visit1: must have all cases of the split"):
        read_cases(dataset, split)
