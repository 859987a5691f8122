"""The documentation of `--json` lists the keys that commands print."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hybridseg.app.cli import COMMANDS
from hybridseg.transforms.store import Store

from ...transforms.store.volumes import preprocessing, write_case
from ..conftest import hybridseg, predict

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "json.md").read_text(encoding="utf-8")
KEYS = {
    section.splitlines()[0]: re.findall(r"^\| `(\w+)`", section, re.MULTILINE) for section in PAGE.split("\n## ")[1:]
}
"""The documented keys of each command."""


def test_every_command_is_documented() -> None:
    assert list(KEYS) == list(COMMANDS)
    assert all(KEYS.values())


def test_prediction_scores_and_report_have_the_documented_keys(
    bundle: Path, tmp_path: Path, volume: Callable[[str], Path]
) -> None:
    predicted = predict(bundle, tmp_path / "out", volume("one"), volume("two"), "--json")
    assert [list(case) for case in json.loads(predicted.out)] == 2 * [KEYS["predict"]]
    maps = (tmp_path / "out", tmp_path / "out")
    assert list(json.loads(hybridseg("evaluate", *maps, "--json").out)) == KEYS["evaluate"]
    report = hybridseg("report", tmp_path / "out", "-o", tmp_path / "report.html", "--json", "--cases", "0")
    assert json.loads(report.out) == {"file": str(tmp_path / "report.html")}
    assert KEYS["report"] == ["file"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("info", ["--networks", "--mixers"]),
        ("completion", ["fish"]),
        ("pack", ["phantom_ct_segmentation", "-o", "bundle.zip"]),
    ],
)
def test_other_results_have_the_documented_keys(
    name: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(json.loads(hybridseg(name, *words, "--json").out)) == KEYS[name]


def test_store_has_the_documented_keys(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", preprocessing())
    store.prepare(write_case(tmp_path / "data", "a", 0))
    record = json.loads(hybridseg("store", tmp_path / "store", "--json").out)
    assert list(record) == KEYS["store"]
    assert record["cases"][0].keys() == {"case", "bytes", "days", "state"}
