"""JSON files are whole, readable by any program, and left alone where nothing changes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.json_files import as_json, read_json, write_json


def test_as_json_keeps_any_file_name_and_rejects_nan() -> None:
    assert json.loads(as_json({"file": "é\udcff"})) == {"file": "é\udcff"}
    assert "é" in as_json({"file": "é"})
    with pytest.raises(ValueError, match="Out of range float values"):
        as_json({"dice": float("nan")})


def test_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = {"cases": [{"case": "é", "dice": None}], "tolerance_mm": 1.5}
    write_json(tmp_path / "new" / "a.json", record)
    assert read_json(tmp_path / "new" / "a.json") == record


def test_unchanged_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, [1])
    first = path.stat()
    os.utime(path, (0, 0))
    write_json(path, [1])
    assert path.stat().st_ino == first.st_ino
    assert path.stat().st_mtime > 0
    write_json(path, [2])
    assert read_json(path) == [2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "must be a JSON file"),
        (b"\xff", "must be a JSON file"),
        (b"[" * 100_000, "recursion"),
        (None, "must be a readable"),
    ],
)
def test_unreadable_file_is_one_line(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VolumeError, match=message):
        read_json(path)


def test_key_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text('[{"case": "x", "image": "a", "image": "b"}]')
    with pytest.raises(VolumeError, match=r"list.json: duplicate key 'image': must be a JSON file"):
        read_json(path)
