"""A bundle planned from Python: its folds, its decisions and its record; `hybridseg plan` has tests of its own."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from hybridseg.app.planning import BundlePlan, CaseFingerprint, PlanOptions, plan_bundle
from hybridseg.transforms.datasets.dataset import Dataset

from .test_survey import make_dataset

OPTIONS = PlanOptions(device="cpu", preset="tiny", patch=(8, 8, 8), spacing=(2.0, 2.0, 2.0), folds=5, seed=3)


def test_plan_is_reported_recorded_and_written(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "set", "abc")
    (tmp_path / "set" / "labels" / "b.nii.gz").unlink()
    reported: list[Sequence[CaseFingerprint]] = []

    def report(described: Dataset, cases: Sequence[CaseFingerprint]) -> None:
        assert described.label_names == dataset.label_names
        assert not (tmp_path / "bundle" / "plan.json").exists()
        reported.append(cases)

    plan = plan_bundle(tmp_path / "set", tmp_path / "bundle", OPTIONS, report=report)
    assert isinstance(plan, BundlePlan)
    assert reported == [plan.cases]
    assert [case.case for case in plan.left_out] == ["b"]
    assert sorted(name for fold in plan.folds for name in fold) == ["a", "c"]
    assert len(plan.folds) == 2  # of five, as there are two patients
    record = json.loads((tmp_path / "bundle" / "plan.json").read_text())
    assert record == json.loads(json.dumps(plan.record()))
    assert record["memory"] == "8GB"
    assert record["left_out"] == {"b": list(plan.left_out[0].problems)}
    assert json.loads((tmp_path / "bundle" / "configs" / "train.json").read_text())["seed"] == 3
    with (tmp_path / "bundle" / "plan" / "integrity.csv").open(newline="") as file:
        assert [row["case"] for row in csv.DictReader(file) if row["problem"]] == ["b"]


def test_dataset_folder_cannot_be_the_bundle(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"output: .*: must not be the folder of the dataset"):
        plan_bundle(tmp_path, tmp_path / "." / "x" / "..")


def test_label_that_no_case_has_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_dataset(tmp_path / "set", "ab")
    names = {"labels": {"background": 0, "organ": 1, "tumour": 2, "cyst": 3}}
    (tmp_path / "set" / "dataset.json").write_text(json.dumps(names))
    plan_bundle(tmp_path / "set", tmp_path / "bundle", OPTIONS)
    assert "labels 3 (cyst): in none of 2 cases without problems: cannot be learnt" in caplog.text
