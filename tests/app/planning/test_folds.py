"""A plan draws folds by patient, or uses those of a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hybridseg.app.planning import plan_bundle

from .test_plan import OPTIONS
from .test_survey import make_dataset


def test_cases_of_few_patients_share_a_fold(tmp_path: Path) -> None:
    make_dataset(tmp_path / "set", [f"p{patient}_{visit}" for patient in range(3) for visit in ("pre", "post")])
    plan = plan_bundle(tmp_path / "set", tmp_path / "bundle", OPTIONS)
    assert sorted(map(list, plan.folds)) == [[f"p{patient}_post", f"p{patient}_pre"] for patient in range(3)]
    assert "cases of 3 patients, by their names: p" in plan.decisions["folds"].reason


def test_given_folds_are_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_dataset(tmp_path / "set", "abc")
    splits = [{"train": ["b", "x"], "val": ["a"]}, {"train": ["a"], "val": ["b", "x"]}]
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps(splits))
    plan = plan_bundle(tmp_path / "set", tmp_path / "bundle", replace(OPTIONS, split_file=path))
    written = json.loads((tmp_path / "bundle" / "configs" / "split.json").read_text())
    assert written == plan.split == {"folds": [["a"], ["b"]], "test": []}
    assert plan.decisions["folds"].reason == "The folds of splits_final.json."
    assert "1 of 3 cases of" in caplog.text
    assert "1 cases are not listed in" in caplog.text


def test_given_folds_without_sound_cases_are_an_error(tmp_path: Path) -> None:
    make_dataset(tmp_path / "set", "abc")
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"folds": [["a", "b"], ["x"]]}))
    with pytest.raises(ValueError, match=r"split.json: fold 1: must have a case of the dataset that has no problems"):
        plan_bundle(tmp_path / "set", tmp_path / "bundle", replace(OPTIONS, split_file=path))
