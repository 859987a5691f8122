"""`hybridseg bench ablation`: every training runs once, a failed one is reported, and wrong usage is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hybridseg.app.benchmarks.variants import DEFAULT
from hybridseg.transforms.phantoms import write_phantoms

from ..conftest import hybridseg


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "dataset: nowhere: must be a folder"),
        ([".", "--networks", "nnFormer"], "networks: 'nnFormer': must be one of default, SegResNet"),
        ([".", "--minutes", "0"], "minutes: 0.0: must be positive and finite"),
        ([".", "--jobs", "0"], "jobs: 0: must be at least 1"),
    ],
)
def test_wrong_usage_is_a_one_line_error(words: list[str], message: str, tmp_path: Path) -> None:
    result = hybridseg("bench", "ablation", *words, "-o", str(tmp_path))
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.mark.slow
def test_trainings_run_once_and_a_failed_one_is_reported(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "data", 5, seed=0)
    words = ["bench", "ablation", str(tmp_path / "data"), "-o", str(tmp_path / "out"), "--minutes", "0.01"]
    words += ["--bundle", "phantom_ct_segmentation", "--networks", "attention: none"]
    blocked = tmp_path / "out" / "attention-none-0.01min-seed0"
    blocked.parent.mkdir()
    blocked.write_text("a file in place of the training's folder")
    result = hybridseg(*words)
    assert result.code == 1
    assert "attention: none, seed 0, 0 steps: failed: " in result.out
    kept = tmp_path / "out" / f"{DEFAULT}-0.01min-seed0.json"
    written = kept.stat().st_mtime_ns
    scores = json.loads(kept.read_text())["dice"]
    assert len(scores) >= 1
    assert all(0 <= score <= 1 for score in scores.values())
    blocked.unlink()
    result = hybridseg(*words)
    assert result.code == 0
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] == ["prepared"]
    assert kept.stat().st_mtime_ns == written
    assert {line.split("  ")[0] for line in result.out.splitlines()[-2:]} == {DEFAULT, "attention: none"}
