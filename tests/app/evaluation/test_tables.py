"""Scores are written as a whole: no summary of other scores stays beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hybridseg.app.evaluation.tables import write_reports


def test_scores_that_cannot_be_written_leave_no_earlier_summary(tmp_path: Path) -> None:
    write_reports([], tmp_path, tolerance=1.0, ignore=9, resample=True)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["tolerance_mm"], summary["ignore"], summary["resample"]) == (1.0, 9, True)
    (tmp_path / "scores.json").unlink()
    (tmp_path / "scores.json").mkdir()
    with pytest.raises(OSError, match=r"scores\.json"):
        write_reports([], tmp_path, tolerance=20.0)
    assert not (tmp_path / "summary.json").exists()
