"""Every notebook runs from its first cell to its last, and is stored with its outputs, below a size limit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .execution import FOLDER, LIVE, outputs, read, run

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SLOW = {"01_data_and_plan", "02_train", "05_inside_the_network", "06_pet_ct", "07_cardiac_function"}
NEEDS = {"03_predict_and_inspect": "ipyniivue", "05_inside_the_network": "nilearn"}
"""Packages without which a notebook cannot run; without the others, it shows pictures instead of widgets."""
NEED_DATA = {"06_pet_ct", "07_cardiac_function"}
"""Notebooks on real volumes, whose folder an environment variable names."""
SHORTER = {"02_train": {"epochs=30": "epochs=6"}, "07_cardiac_function": {'split["test"]': 'split["test"][:6]'}}
"""What takes less time in the tests."""
LARGEST = 300_000
"""Bytes of a notebook."""
PLACES = re.compile(r"(?:/tmp/|/home/|/root/|/Users/|[A-Z]:\\)|\bat 0x")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def kept(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in SLOW else []) for path in NOTEBOOKS],
)
def test_the_notebook_runs(path, request):
    if path.stem in NEED_DATA:
        request.getfixturevalue("data_dir")
    if path.stem in NEEDS:
        pytest.importorskip(NEEDS[path.stem])
    shown = outputs(run(path, SHORTER.get(path.stem)))
    assert any(kind.startswith("image/") for output in shown for kind in output.get("data", {}))
    assert not [output for output in shown if output.get("name") == "stderr"]


def test_the_notebook_is_kept_as_it_ran(kept):
    notebook = read(kept)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert kept.stat().st_size < LARGEST
    shown = outputs(notebook)
    assert any(kind.startswith("image/") for output in shown for kind in output.get("data", {}))
    assert not [output for output in shown if output.output_type == "error" or output.get("name") == "stderr"]


def test_kept_notebook_has_no_paths_or_widget_state(kept):
    notebook = read(kept)
    assert "widgets" not in notebook.metadata
    for output in outputs(notebook):
        data = output.get("data", {})
        assert LIVE not in data
        assert not PLACES.search(output.get("text", "") + data.get("text/plain", ""))
