"""The record of a run has every label map of its folder, whoever made it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hybridseg.app.run_record import RunRecord
from hybridseg.transforms.errors import VolumeError


def write_case(record: RunRecord, case: str) -> None:
    """Note a case with statistics as written, and write the record."""
    (record.folder / f"{case}.nii.gz").touch()
    record.note({"case": case, "outcome": "written"}, [{"case": case, "label": 1}])
    record.write()


def test_jobs_side_by_side_keep_what_each_notes(tmp_path: Path) -> None:
    first, second = RunRecord(tmp_path, {}), RunRecord(tmp_path, {})
    for record, case in ((first, "a"), (second, "b"), (first, "c")):
        write_case(record, case)
    assert [case["case"] for case in json.loads((tmp_path / "run.json").read_text())["cases"]] == ["a", "b", "c"]
    assert [row["case"] for row in json.loads((tmp_path / "statistics.json").read_text())["labels"]] == ["a", "b", "c"]
    assert (tmp_path / "statistics.csv").read_text().split() == ["case,label", "a,1", "b,1", "c,1"]


def test_a_record_that_breaks_meanwhile_is_written_anew(tmp_path: Path) -> None:
    record = RunRecord(tmp_path, {})
    (tmp_path / "run.json").write_text("half of a rec")
    with pytest.raises(VolumeError, match=r"run.json: .*: must be a JSON file"):
        RunRecord(tmp_path, {})
    write_case(record, "a")
    assert [case["case"] for case in json.loads((tmp_path / "run.json").read_text())["cases"]] == ["a"]
