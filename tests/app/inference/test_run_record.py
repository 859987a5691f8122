"""The record of a run has every label map of its folder, also those of other runs."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hybridseg.app.inference.run_record import RunRecord
from hybridseg.transforms.errors import VolumeError


def write_case(record: RunRecord, case: str) -> None:
    """Note a written case with statistics, and write the record."""
    (record.folder / f"{case}.nii.gz").touch()
    record.note({"case": case, "outcome": "written"}, [{"case": case, "label": 1}])
    record.write()


def test_concurrent_runs_keep_each_others_cases(tmp_path: Path) -> None:
    first, second = RunRecord(tmp_path, {}), RunRecord(tmp_path, {})
    for record, case in ((first, "a"), (second, "b"), (first, "c")):
        write_case(record, case)
    assert [case["case"] for case in json.loads((tmp_path / "run.json").read_text())["cases"]] == ["a", "b", "c"]
    assert [row["case"] for row in json.loads((tmp_path / "statistics.json").read_text())["labels"]] == ["a", "b", "c"]
    assert (tmp_path / "statistics.csv").read_text().split() == ["case,label", "a,1", "b,1", "c,1"]


def test_simultaneous_writes_do_not_share_temporary_files(tmp_path: Path) -> None:
    records = [RunRecord(tmp_path, {}) for _ in range(4)]
    with ThreadPoolExecutor(len(records)) as pool:
        list(pool.map(lambda index: write_case(records[index % 4], f"case_{index}"), range(100)))
    assert not list(tmp_path.glob(".*"))


def test_rows_with_columns_of_another_version_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").touch()
    (tmp_path / "statistics.json").write_text('{"labels": [{"case": "a", "volume": 2}]}')
    write_case(RunRecord(tmp_path, {}), "b")
    assert (tmp_path / "statistics.csv").read_text().split() == ["case,volume,label", "a,2,", "b,,1"]


def test_record_damaged_during_a_run_is_rewritten(tmp_path: Path) -> None:
    record = RunRecord(tmp_path, {})
    (tmp_path / "run.json").write_text("half of a rec")
    with pytest.raises(VolumeError, match=r"run.json: .*: must be a JSON file"):
        RunRecord(tmp_path, {})
    write_case(record, "a")
    assert [case["case"] for case in json.loads((tmp_path / "run.json").read_text())["cases"]] == ["a"]
