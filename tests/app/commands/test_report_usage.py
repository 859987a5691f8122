"""Wrong options, invalid records and scores of other label maps raise a one-line error, and nothing is written."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from math import nan
from pathlib import Path

import pytest

from hybridseg.app.evaluation.metrics import LabelScore
from hybridseg.bundles import bundle_path

from ..conftest import hybridseg


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["labels", "--tolerance", "0"], "tolerance: 0.0: must be positive and finite"),
        (["labels", "--cases", "-1"], "cases: -1: must be at least 0"),
        ([], "predictions: none: must be given, or --run-dir, or both"),
        (["--run-dir", "labels", "--images", "images"], "images: images: must be given with PREDICTIONS"),
        (["--run-dir", "labels"], "run_dir: labels: no curves in events.out.tfevents.*"),
        (["nowhere"], "nowhere: does not exist: must be a file or a folder"),
        (["labels", "--references", "nowhere"], "nowhere: does not exist: must be a file or a folder"),
        (["labels", "--images", "nowhere"], "nowhere: does not exist: must be a file or a folder"),
        (["labels", "--bundle", "liver"], "bundle: 'liver': must be the name of a shipped bundle"),
        (["labels", "--scores", "truth"], "truth/scores.json: No such file or directory"),
        (["labels", "-o", "page.pdf"], "output: page.pdf: must be a file whose name ends in .html"),
    ],
)
def test_wrong_usage_is_one_line_and_writes_nothing(
    cohort: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(cohort)
    before = sorted(cohort.rglob("*"))
    result = hybridseg("report", *words, *([] if "-o" in words else ["-o", "page.html"]))
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"hybridseg report: {message}")
    assert result.err.count("\n") == 1
    assert sorted(cohort.rglob("*")) == before


def score(**values: object) -> dict[str, object]:
    """Return the record of a score with other values."""
    sound = LabelScore(
        case="good",
        label=1,
        name="one",
        outcome="found",
        reference_voxels=10,
        prediction_voxels=10,
        reference_ml=1.0,
        prediction_ml=1.0,
        volume_difference_ml=0.0,
        dice=0.5,
        surface_dice=0.5,
        hd95=1.0,
        assd=1.0,
    )
    return {**asdict(sound), **values}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", {"cases": ["one"]}, "run.json: invalid list of cases: must be written by hybridseg predict"),
        ("scores.json", [{"case": "good"}], "scores.json: no list of scores: must be written by hybridseg evaluate -o"),
        ("scores.json", [score(dice=7.0)], "scores.json: no list of scores: must be written by hybridseg evaluate -o"),
        ("scores.json", [score(hd95=nan)], "scores.json: no list of scores: must be written by hybridseg evaluate -o"),
        ("scores.json", [score(assd="1")], "scores.json: no list of scores: must be written by hybridseg evaluate -o"),
        (
            "summary.json",
            {"tolerance_mm": nan},
            "summary.json: no tolerance_mm: must be written by hybridseg evaluate -o",
        ),
        ("summary.json", [1.0], "summary.json: no tolerance_mm: must be written by hybridseg evaluate -o"),
        (
            "summary.json",
            {"tolerance_mm": 1.0, "ignore": "3"},
            "summary.json: no options of the scores: must be written by hybridseg evaluate -o",
        ),
        ("summary.json", {}, "summary.json: no tolerance_mm: must be written by hybridseg evaluate -o"),
    ],
)
def test_invalid_record_is_an_error(cohort: Path, name: str, content: object, message: str) -> None:
    assert hybridseg("evaluate", cohort / "labels", cohort / "truth", "-o", cohort / "labels").code == 0
    (cohort / "labels" / name).write_text(json.dumps(content))
    result = hybridseg("report", cohort / "labels", "-o", cohort / "page.html")
    assert (result.code, result.err) == (2, f"hybridseg report: {cohort / 'labels'}/{message}\n")


def test_scores_of_other_cases_or_tolerance_are_an_error(cohort: Path) -> None:
    assert hybridseg("evaluate", cohort / "labels", cohort / "truth", "-o", cohort / "scores").code == 0
    words = ("report", cohort / "labels", "-o", cohort / "page.html", "--scores", cohort / "scores")
    result = hybridseg(*words, "--tolerance", "2")
    assert result.code == 2
    assert "scores.json: surface Dice at 1 mm: must be at the tolerance, 2 mm" in result.err
    (cohort / "labels" / "bad.nii.gz").unlink()
    result = hybridseg(*words)
    assert result.code == 2
    assert "scores.json: scores of 'bad': must be of the label maps in" in result.err
    assert not (cohort / "page.html").exists()


def test_scores_that_ignore_another_label_are_an_error(cohort: Path) -> None:
    bundle = shutil.copytree(bundle_path("hippocampus_mri_segmentation"), cohort / "bundle")
    words = ("evaluate", cohort / "labels", cohort / "truth", "-o", cohort / "scores", "--bundle", bundle)
    assert hybridseg(*words, "--ignore", "9").code == 0
    drawn = ("report", cohort / "labels", "-o", cohort / "page.html", "--scores", cohort / "scores")
    result = hybridseg(*drawn, "--bundle", bundle)
    assert result.code == 2
    assert "scores.json: ignore 9: must be None, the label that the bundle ignores" in result.err
    assert hybridseg(*drawn).code == 0
    assert "of an earlier evaluation, label 9 ignored" in (cohort / "page.html").read_text(encoding="utf-8")
