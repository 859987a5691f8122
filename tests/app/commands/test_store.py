"""`hybridseg store` lists prepared cases, and prunes those that nothing needs."""

from __future__ import annotations

from pathlib import Path

from hybridseg.transforms.store import Store

from ...transforms.store.volumes import preprocessing, write_case
from ..conftest import hybridseg


def test_cases_are_listed_and_changed_ones_pruned(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", preprocessing())
    cases = [write_case(tmp_path / "data", name, seed) for seed, name in enumerate("ab")]
    for case in cases:
        store.prepare(case)
    listed = hybridseg("store", tmp_path / "store")
    assert listed.code == 0
    assert listed.out.splitlines()[0].split() == ["case", "size", "unused", "for"]
    assert "2 cases prepared, 0.00 GB" in listed.out
    Path(cases[0]["image"]).unlink()
    pruned = hybridseg("store", tmp_path / "store", "--prune")
    assert "files changed" in pruned.out
    assert "1 cases removed" in pruned.out
    assert "1 cases prepared" in hybridseg("store", tmp_path / "store").out


def test_wrong_usage_is_a_one_line_error(tmp_path: Path) -> None:
    for words, message in (
        (["nowhere"], "store: nowhere: not a folder: must be a store of prepared cases"),
        ([tmp_path, "--days", "-1"], "days: -1: must be at least 0"),
    ):
        result = hybridseg("store", *words)
        assert result.code == 2
        assert message in result.err
        assert result.err.count("\n") == 1
