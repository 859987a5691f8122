"""The record of a run has every label map of its folder, also those of other runs."""

from __future__ import annotations

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

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


def settings(weights: str) -> dict[str, Any]:
    """Return the settings of a run with these weights."""
    return {"bundle": "/bundles/spleen", "checkpoints": [weights], "options": {"overlap": 0.5}}


def read(folder: Path) -> dict[str, Any]:
    """Read the record of a folder."""
    record: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return record


def test_each_label_map_keeps_what_made_it(tmp_path: Path) -> None:
    write_case(RunRecord(tmp_path, settings("first.pt")), "a")
    write_case(RunRecord(tmp_path, settings("second.pt")), "b")
    before = read(tmp_path)
    assert before["checkpoints"] == ["second.pt"]
    skipping = RunRecord(tmp_path)
    for case in ("a", "b"):
        skipping.note({"case": case, "outcome": "skipped"})
    skipping.write(finished=True)
    assert read(tmp_path) == before
    record = RunRecord(tmp_path)
    assert [record.settings_of(case)["checkpoints"] for case in ("a", "b")] == [["first.pt"], ["second.pt"]]


def test_failed_overwriting_keeps_what_made_the_map(tmp_path: Path) -> None:
    write_case(RunRecord(tmp_path, settings("first.pt")), "a")
    again = RunRecord(tmp_path, settings("second.pt"))
    again.plan([{"case": "a", "outcome": "waiting"}])
    again.note({"case": "a", "outcome": "failed"})
    again.write()
    assert RunRecord(tmp_path).settings_of("a")["checkpoints"] == ["first.pt"]
    assert [row["case"] for row in json.loads((tmp_path / "statistics.json").read_text())["labels"]] == ["a"]


@pytest.mark.parametrize(("new", "weights"), [(True, "second.pt"), (False, "first.pt")])
@pytest.mark.parametrize("clock", [1e9, 4e9], ids=["past", "future"])
def test_killed_run_leaves_no_map_of_unknown_origin(tmp_path: Path, new: bool, weights: str, clock: float) -> None:
    write_case(RunRecord(tmp_path, settings("first.pt")), "a")
    os.utime(tmp_path / "a.nii.gz", (clock, clock))
    killed = RunRecord(tmp_path, settings("second.pt"))
    killed.plan({"case": case, "outcome": "waiting"} for case in ("a", "b", "c"))
    killed.write()
    (tmp_path / "b.nii.gz").touch()
    if new:
        os.utime(tmp_path / "a.nii.gz", (clock - 1, clock - 1))  # by the clock of a disk in the network
    record = RunRecord(tmp_path)
    assert record.settings_of("a")["checkpoints"] == [weights]
    assert record.settings_of("b")["checkpoints"] == ["second.pt"]
    assert record.earlier.keys() == {"a", "b"}
    assert {case["outcome"] for case in record.earlier.values()} == {"written"}


def test_record_of_an_earlier_version_is_kept_but_not_certain(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").touch()
    old = {**settings("old.pt"), "versions": {"hybridseg": "0.1.0"}, "cases": [{"case": "a", "outcome": "written"}]}
    (tmp_path / "run.json").write_text(json.dumps(old))
    write_case(RunRecord(tmp_path, settings("new.pt")), "b")
    record = RunRecord(tmp_path)
    assert record.settings_of("a")["versions"] == {"hybridseg": "0.1.0"}
    assert record.known_settings("a") is None
    assert record.known_settings("b") == settings("new.pt")


def test_failure_is_kept_until_its_case_is_written(tmp_path: Path) -> None:
    record = RunRecord(tmp_path, settings("a.pt"))
    record.note({"case": "a", "outcome": "failed", "error": "a.nii: unreadable"})
    record.write()
    write_case(RunRecord(tmp_path, settings("a.pt")), "b")
    assert [case["outcome"] for case in read(tmp_path)["cases"]] == ["failed", "written"]
    write_case(RunRecord(tmp_path, settings("a.pt")), "a")
    assert [case["outcome"] for case in read(tmp_path)["cases"]] == ["written", "written"]


@pytest.mark.parametrize("content", [{"cases": "a"}, {"cases": [{"case": 1}]}, {"runs": []}, {"runs": {"a": 1}}])
def test_record_of_another_program_is_an_error(tmp_path: Path, content: Any) -> None:
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(VolumeError, match=r"run.json: invalid .*: must be written by hybridseg predict"):
        RunRecord(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("run", [1], "not a JSON object"),
        ("run", {"cases": [{"case": "a"}]}, "invalid list of cases"),
        ("run", {"cases": [{"case": "a", "outcome": "waiting", "before": {}}]}, "invalid list of cases"),
        ("run", {"cases": [{"case": "a", "outcome": "written", "run": []}]}, "invalid list of cases"),
        ("run", {"cases": [{"case": "a", "outcome": "written", "inputs": 5}]}, "invalid list of cases"),
        ("run", {"cases": [{"case": "a", "outcome": "written", "input_states": 5}]}, "invalid list of cases"),
        ("run", {"cases": [{"case": "a", "outcome": "written", "seconds": float("nan")}]}, "Out of range float values"),
        ("run", {"runs": {"1": 5}}, "invalid runs"),
        ("run", {"runs": {"1": {"bundle": 5}}}, "invalid runs"),
        ("run", {"runs": {"1": {"checkpoints": ["a.pt"], "checkpoint_sha256": ["1", "2"]}}}, "invalid runs"),
        ("run", {"runs": {"1": {"options": [1]}}}, "invalid runs"),
        ("statistics", {"labels": None}, "invalid list of labels"),
        ("statistics", {"labels": [{"case": []}]}, "invalid list of labels"),
    ],
)
def test_records_of_other_types_are_errors(file: str, content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / f"{file}.json"
    path.write_text(json.dumps(content))
    with pytest.raises(
        VolumeError, match=rf"{re.escape(str(path))}: {message}.*: must be written by hybridseg predict"
    ):
        RunRecord(tmp_path)
