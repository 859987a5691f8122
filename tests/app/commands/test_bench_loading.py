"""`hybridseg bench loading` measures every way of loading, and reports a failed one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hybridseg.transforms.phantoms import write_phantoms

from ..conftest import hybridseg


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_phantoms(folder, 1, seed=0)
    return folder


@pytest.mark.slow
def test_every_way_loads_samples(dataset: Path) -> None:
    words = ["--grid", "60", "50", "40", "--patch-size", "16", "16", "16", "--samples", "2"]
    result = hybridseg("bench", "loading", dataset, *words, "--json")
    assert result.code == 0, result.err
    rows = {row["way"]: row for row in json.loads(result.out)}
    assert list(rows) == ["uncached", "memory", "store"]
    assert all(row["seconds"] > 0 for row in rows.values())
    assert rows["memory"]["preparing"] > 0
    assert rows["memory"]["disk"] == 0 < rows["store"]["disk"]


@pytest.mark.slow
def test_failed_way_is_reported(tmp_path: Path) -> None:
    write_phantoms(tmp_path, 1, seed=0)
    (image,) = (tmp_path / "imagesTr").iterdir()
    image.write_bytes(image.read_bytes()[:5000])
    result = hybridseg("bench", "loading", tmp_path)
    assert result.code == 1
    assert "must be a whole, readable volume" in result.out


def test_wrong_usage_is_a_one_line_error(tmp_path: Path) -> None:
    result = hybridseg("bench", "loading", tmp_path, "--samples", "0")
    assert result.code == 2
    assert "samples: 0: must be at least 1" in result.err
