"""The cost of a training is measured by a short one on real cases."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import pytest

from hybridseg.app.bundling.writer import configure
from hybridseg.app.planning.case_fingerprint import CaseFingerprint
from hybridseg.app.planning.training_cost import measure_training, typical_cases

from .test_step_cost import SETTINGS
from .test_survey import make_dataset

CONFIG = configure("train.json", {**SETTINGS, "label_names": {1: "liver", 2: "spleen"}})


def test_every_part_of_a_training_is_measured(tmp_path: Path) -> None:
    make_dataset(tmp_path / "set", "ab")
    begin = perf_counter()
    cost = measure_training(CONFIG, tmp_path / "set", ["a", "b"])
    waited = perf_counter() - begin
    assert cost is not None
    parts = (cost.step_seconds, cost.data_seconds, cost.validation_seconds, cost.preparation_seconds)
    assert min(*parts, cost.start_seconds, cost.bytes) > 0
    assert cost.start_seconds + sum(parts) <= waited
    assert {path.name for path in (tmp_path / "set").iterdir()} == {"images", "labels", "dataset.json"}


def test_typical_cases_are_labelled_and_of_mean_size() -> None:
    edges = {"a": 10, "b": 30, "c": 28, "d": 40, "e": 31}
    cases = [
        CaseFingerprint(case=name, shape=(edge, edge, edge), labelled_voxels=0 if name == "e" else 1)
        for name, edge in edges.items()
    ]
    assert typical_cases(cases) == ["b", "c"]
    assert typical_cases(cases[:1] + cases[-1:]) == ["a", "e"]


def test_training_that_fails_is_an_error(tmp_path: Path) -> None:
    make_dataset(tmp_path / "set", "ab")
    (tmp_path / "set" / "images" / "a.nii.gz").write_bytes(b"nothing")
    with pytest.raises(RuntimeError, match="a short training of the planned network failed"):
        measure_training(CONFIG, tmp_path / "set", ["a", "b"])
