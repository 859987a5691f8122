"""The inputs of cases are found in records of this version and of earlier ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hybridseg.app.inference.run_record import RunRecord
from hybridseg.app.reporting.sources import recorded_image, recorded_inputs

from ..conftest import write_volume


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    """Write two channels of a case, below a folder with a comma in its name."""
    return [str(write_volume(tmp_path / "Doe, Jane" / f"t{number}.nii.gz")) for number in (1, 2)]


@pytest.mark.parametrize("version", ["list", "joined"])
def test_inputs_are_found_in_records_of_either_version(images: list[str], version: str, tmp_path: Path) -> None:
    def record(paths: list[str]) -> dict[str, Any]:
        return {
            "case": "one",
            "outcome": "written",
            **({"inputs": paths} if version == "list" else {"input": ", ".join(paths)}),
        }

    assert recorded_inputs(record(images)) == images
    assert recorded_inputs(record([*images, "gone.nii.gz"])) == []
    found = recorded_image(write_record(tmp_path, record(images)), "one")
    assert found is not None
    assert found.images == tuple(map(Path, images))


def test_case_without_recorded_inputs_has_no_image(tmp_path: Path) -> None:
    assert recorded_image(write_record(tmp_path, {"case": "one", "outcome": "written"}), "one") is None
    assert recorded_image(write_record(tmp_path, {"case": "one", "outcome": "written", "inputs": []}), "one") is None
    assert recorded_image(write_record(tmp_path, {"case": "two", "outcome": "written"}), "one") is None


def write_record(folder: Path, case: dict[str, Any]) -> RunRecord:
    """Write a record of a case that has a label map, and read it."""
    (folder / "one.nii.gz").touch()
    (folder / "run.json").write_text(json.dumps({"cases": [case]}))
    return RunRecord(folder)
