"""`hybridseg bench robustness` compares disturbed with undisturbed scans, for bundles side by side."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from ..conftest import hybridseg, write_volume


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two labelled cases."""
    for seed, case in enumerate(("one", "two")):
        numbers = np.random.default_rng(seed)
        labels = np.zeros((16, 16, 16), np.uint8)
        labels[4:12, 4:8], labels[4:12, 8:12] = 1, 2
        image = numbers.normal(100, 20, labels.shape) + 100 * labels
        write_volume(tmp_path / "data" / "imagesTr" / f"{case}.nii.gz", image.astype(np.float32))
        write_volume(tmp_path / "data" / "labelsTr" / f"{case}.nii.gz", labels)
    return tmp_path / "data"


@pytest.mark.slow
def test_every_disturbance_has_a_row_with_its_difference(bundle: Path, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = hybridseg("bench", "robustness", dataset, bundle, "-o", out, "--json")
    assert result.code == 0, result.err
    rows = json.loads(result.out)
    assert rows == json.loads((out / "robustness.json").read_text())["rows"]
    plain, scaled = rows[0], next(row for row in rows if (row["disturbance"], row["severity"]) == ("intensities", 1000))
    assert (plain["disturbance"], plain["cases"], plain["failed"]) == ("undisturbed", 2, 0)
    assert scaled["difference"] == pytest.approx(0, abs=0.01)  # MRI is normalised
    for row in rows[1:]:
        assert row["difference"] == pytest.approx(row["dice"] - plain["dice"], abs=1e-5)
        assert row["low"] <= row["difference"] <= row["high"]
    written = list(csv.DictReader((out / "robustness.csv").read_text().splitlines()))
    assert [row["disturbance"] for row in written] == [row["disturbance"] for row in rows]
    lines = (out / "robustness.md").read_text().splitlines()
    assert lines[0] == "| disturbance | Dice | lowest | difference |"
    assert len(lines) == len(rows) + 2


def test_case_that_cannot_be_loaded_fails_alone(bundle: Path, dataset: Path) -> None:
    (dataset / "labelsTr" / "one.nii.gz").write_bytes(b"no volume")
    result = hybridseg("bench", "robustness", dataset, bundle, "--json")
    assert result.code == 1
    assert "one.nii.gz: " in result.err
    assert {(row["cases"], row["failed"]) for row in json.loads(result.out)} == {(1, 1)}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cases", "0"], "cases: 0: must be at least 1"),
        (["hippocampus_mri_segmentation"], "hippocampus_mri_segmentation: given twice: bundles must have names of"),
    ],
)
def test_wrong_usage_is_a_one_line_error(words: list[str], message: str, tmp_path: Path) -> None:
    result = hybridseg("bench", "robustness", tmp_path, "hippocampus_mri_segmentation", *words)
    assert result.code == 2
    assert message in result.err
