"""What is wrong with a dataset is told of the case that has it."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hybridseg.app.planning.case_fingerprint import CaseFingerprint
from hybridseg.app.planning.dataset_fingerprint import summarise_cases
from hybridseg.app.planning.survey import refuse_gaps, survey, warn_of_modality, write_integrity_report
from hybridseg.transforms import open_dataset

from ..conftest import SHAPE, write_volume
from .test_survey import make_dataset


def test_an_image_under_two_names_is_a_fault_of_the_later(tmp_path: Path) -> None:
    make_dataset(tmp_path / "set", "abc")
    shutil.copy(tmp_path / "set" / "images" / "a.nii.gz", tmp_path / "set" / "images" / "c.nii.gz")
    dataset = open_dataset(tmp_path / "set")
    a, b, c = fingerprints = survey(dataset, tmp_path / "kept")
    assert a.is_sound
    assert b.is_sound
    image = tmp_path / "set" / "images" / "c.nii.gz"
    assert c.faults == (f"{image}: the voxels of case 'a': every image must be there once",)
    assert summarise_cases(fingerprints).cases == 2
    assert survey(dataset, tmp_path / "kept") == fingerprints


def test_the_labels_of_the_dataset_are_those_that_may_occur(tmp_path: Path) -> None:
    make_dataset(tmp_path / "set", "a")
    write_volume(tmp_path / "set" / "labels" / "a.nii.gz", np.full(SHAPE, 7, dtype=np.uint8))
    (fingerprint,) = survey(open_dataset(tmp_path / "set"), tmp_path / "kept")
    assert fingerprint.faults[0].endswith("a.nii.gz: labels 7: must be among 0, 1, 2")


def test_a_stray_label_is_refused_by_the_case_that_has_it(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "set", ["a", "b"])
    unlisted = replace(dataset, label_names={})
    first, second = survey(dataset, tmp_path / "cases", jobs=1)
    stray = replace(second, labels={**second.labels, 7: second.labels[1]})
    with pytest.raises(ValueError, match=r"labels: 7 occurs \(b\), but 3 does not: must be 1 to the number"):
        refuse_gaps(unlisted, [first, stray])
    refuse_gaps(unlisted, [first, second])


def test_intensities_of_another_modality_than_the_name_says_are_warned_of(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "set", ["a", "b"], modality="CT")
    with pytest.warns(UserWarning, match=r"a\.nii\.gz: the lowest voxel is .*: is this CT\?"):
        warn_of_modality(dataset, "a")


def test_the_report_has_a_row_for_each_case_and_fault(tmp_path: Path) -> None:
    fingerprints = [
        CaseFingerprint(case="a"),
        CaseFingerprint(case="b", faults=("b.nii: 3, all bad: must be good", "b.nii: other")),
    ]
    write_integrity_report(fingerprints, tmp_path / "out" / "integrity.csv")
    with (tmp_path / "out" / "integrity.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"case": "a", "fault": ""},
        {"case": "b", "fault": "b.nii: 3, all bad: must be good"},
        {"case": "b", "fault": "b.nii: other"},
    ]
