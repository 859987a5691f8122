"""Lists of cases in CSV and JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hybridseg.transforms import VolumeError, find_cases
from hybridseg.transforms.datasets.input_case import InputCase
from hybridseg.transforms.io.dicom import DicomFolder

from ..io.dicom.dicom_files import write_series
from .dataset_folders import touch


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_list_names_cases_and_their_channels(tmp_path: Path, kind: str) -> None:
    t1, t2, other = touch(tmp_path, "in/t1.nii", "in/t2.nii", "other.mha")
    write_series(tmp_path / "scan")
    if kind == "csv":
        text = f"case,image,image2\none,in/t1.nii,in/t2.nii\ntwo,{other},\nthree,scan,\n"
    else:
        text = json.dumps(
            [
                {"case": "one", "image": "in/t1.nii", "image2": "in/t2.nii"},
                {"case": "two", "image": str(other)},
                {"case": "three", "image": "scan"},
            ]
        )
    (tmp_path / f"cases.{kind}").write_text(text, encoding="utf-8")
    scan = DicomFolder(tmp_path / "scan")
    assert find_cases([tmp_path / f"cases.{kind}"]) == [
        InputCase("one", (t1, t2)),
        InputCase("two", (other,)),
        InputCase("three", (scan,)),
    ]


@pytest.mark.parametrize("order", [(2, 1, 10), (10, 2, 1)])
def test_channels_of_a_list_are_sorted_by_number(tmp_path: Path, order: tuple[int, ...]) -> None:
    """Not by the order of the columns or the alphabet, which JSON is often sorted by."""
    files: dict[int, Path] = dict(zip((1, 2, 10), touch(tmp_path, "a.nii", "b.nii", "c.nii"), strict=True))
    row = {f"image{number if number > 1 else ''}": files[number].name for number in order}
    (tmp_path / "cases.json").write_text(json.dumps([{"case": "one", **row}]), encoding="utf-8")
    (case,) = find_cases([tmp_path / "cases.json"], channels=3)
    assert case.images == tuple(files.values())


def test_list_may_name_the_series_of_each_case(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "cases.csv").write_text("case,image,series\np,a,4\nq,b,\n")
    assert find_cases([tmp_path / "cases.csv"]) == [
        InputCase("p", (DicomFolder(tmp_path / "a", "4"),)),
        InputCase("q", (DicomFolder(tmp_path / "b"),)),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_list_that_a_spreadsheet_saved_is_read(tmp_path: Path, delimiter: str) -> None:
    t1, t2 = touch(tmp_path, "t1.nii", "t2.nii")
    rows = [["case", "image", "image2"], ["one", "t1.nii", "t2.nii"]]
    text = "".join(f"{delimiter.join(row)}\r\n" for row in rows)
    (tmp_path / "cases.csv").write_bytes(text.encode("utf-8-sig"))
    assert find_cases([tmp_path / "cases.csv"]) == [InputCase("one", (t1, t2))]


RULE = "must have the columns case, image and optionally image2 and so on"
INVALID: dict[str, tuple[tuple[str, str], str]] = {
    "no list": (("cases.json", "{}"), f"cases.json: not a list of cases: {RULE}"),
    "broken list": (("cases.json", "[{"), "cases.json: "),
    "empty list": (("cases.csv", "case,image\n"), f"cases.csv: not a list of cases: {RULE}"),
    "other column": (("cases.csv", "case,volume\na,b\n"), f"cases.csv: case 1 has 'volume': {RULE}"),
    "no image": (("cases.csv", "case,image\na,\n"), f"cases.csv: case 1 lacks its name or image: {RULE}"),
    "no image in between": (
        ("cases.csv", "case,image,image2,image3\na,cases.csv,,cases.csv\n"),
        f"cases.csv: case 1 lacks its name or image: {RULE}",
    ),
    "no name": (("cases.json", '[{"case": 3, "image": "a"}]'), "cases.json: case 1 lacks its name or image"),
    "hidden name": (("cases.csv", "case,image\n.a,cases.csv\n"), "cases.csv: case 1 is called '.a': a name must"),
    "column twice": (
        ("cases.csv", "case,image,image\na,b,c\n"),
        "cases.csv: duplicate column 'image': must have each column once",
    ),
    "too many cells": (("cases.csv", "case,image\na,b,c\n"), f"cases.csv: case 1 has None: {RULE}"),
    "missing image": (
        ("cases.csv", "case,image\na,b.nii\n"),
        "cases.csv: names b.nii: every image of a list",
    ),
    "path as name": (("cases.csv", "case,image\n../a,cases.csv\n"), "cases.csv: case 1 is called '../a': a name"),
}
"""Name and text of a list, and what its error says."""


@pytest.mark.parametrize("name", INVALID)
def test_invalid_lists_are_errors(tmp_path: Path, name: str) -> None:
    (file, text), message = INVALID[name]
    (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(VolumeError, match=re.escape(message)) as caught:
        find_cases([tmp_path / file])
    assert "\n" not in str(caught.value)
