"""Problems of a dataset are reported by case."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hybridseg.app.planning.case_fingerprint import CaseFingerprint
from hybridseg.app.planning.dataset_fingerprint import summarise_cases
from hybridseg.app.planning.survey import survey_dataset, warn_of_modality, warn_of_rare_labels, write_integrity_report
from hybridseg.transforms import open_dataset

from ..conftest import SHAPE, write_volume
from .test_survey import make_dataset


def test_same_image_twice_is_a_problem_of_the_later_case(tmp_path: Path) -> None:
    make_dataset(tmp_path / "set", "abc")
    shutil.copy(tmp_path / "set" / "images" / "a.nii.gz", tmp_path / "set" / "images" / "c.nii.gz")
    dataset = open_dataset(tmp_path / "set")
    a, b, c = fingerprints = survey_dataset(dataset, tmp_path / "kept")
    assert a.is_sound
    assert b.is_sound
    image = tmp_path / "set" / "images" / "c.nii.gz"
    assert c.problems == (f"{image}: the same voxels as case 'a': every image must occur once",)
    assert summarise_cases(fingerprints).cases == 2
    assert survey_dataset(dataset, tmp_path / "kept") == fingerprints


def test_labels_that_the_dataset_does_not_list_are_a_problem(tmp_path: Path) -> None:
    make_dataset(tmp_path / "set", "a")
    write_volume(tmp_path / "set" / "labels" / "a.nii.gz", np.full(SHAPE, 7, dtype=np.uint8))
    (fingerprint,) = survey_dataset(open_dataset(tmp_path / "set"), tmp_path / "kept")
    assert fingerprint.problems[0].endswith("a.nii.gz: labels 7: must be among 0, 1, 2")


def test_unlisted_label_of_a_single_case_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = make_dataset(tmp_path / "set", "abc")
    unlisted = replace(dataset, label_names={})
    first, second, third = survey_dataset(dataset, tmp_path / "cases", jobs=1)
    warn_of_rare_labels(unlisted, [first, second, third])
    stray = replace(second, label_volumes={**second.label_volumes, 7: 0.1})
    warn_of_rare_labels(dataset, [first, stray, third])
    assert not caplog.messages
    warn_of_rare_labels(unlisted, [first, stray, third])
    (message,) = caplog.messages
    assert message.endswith("label 7: only in case b: list the labels in dataset.json if it is a mistake")


def test_intensities_that_contradict_the_modality_warn(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "set", ["a", "b"], modality="CT")
    with pytest.warns(UserWarning, match=r"a\.nii\.gz: the lowest voxel is .*: is this CT\?"):
        warn_of_modality(dataset, "a")


def test_integrity_report_has_a_row_per_case_and_problem(tmp_path: Path) -> None:
    fingerprints = [
        CaseFingerprint(case="a"),
        CaseFingerprint(case="b", problems=("b.nii: 3, all bad: must be good", "b.nii: other")),
    ]
    write_integrity_report(fingerprints, tmp_path / "out" / "integrity.csv")
    with (tmp_path / "out" / "integrity.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"case": "a", "problem": ""},
        {"case": "b", "problem": "b.nii: 3, all bad: must be good"},
        {"case": "b", "problem": "b.nii: other"},
    ]
