"""Run notebooks; as a program (`make notebooks`), store their outputs."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient

from hybridseg.bundles import bundle_path

FOLDER = Path(__file__).parents[2] / "notebooks"
BUNDLES = bundle_path("phantom_ct_segmentation").parent
LIVE = "application/vnd.jupyter.widget-view+json"
"""MIME type of a widget, which is empty without a kernel."""


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def run(path: Path, shorter: Mapping[str, str] | None = None) -> nbformat.NotebookNode:
    """Run a notebook from its first cell to its last, in a new kernel and an empty folder; return it.

    Args:
        path: file of the notebook.
        shorter: text of its cells, and what runs in its place.
    """
    notebook = read(path)
    for cell in notebook.cells:
        for text, other in (shorter or {}).items():
            cell.source = cell.source.replace(text, other)
    with TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            timeout=900,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            store_widget_state=False,
            record_timing=False,
        ).execute(env={**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"})  # as in Jupyter
    return notebook


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def keep(path: Path) -> None:
    """Run a notebook and store it with its outputs: pictures instead of widgets, and no paths of this machine."""
    notebook = run(path)
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        shown = [output.get("data", {}) for output in cell.get("outputs", [])]
        live = [data.pop(LIVE, None) for data in shown]
        if any(live) and not any(kind.startswith("image/") for data in shown for kind in data):
            cell.outputs = []
        for output in cell.get("outputs", []):
            if "text" in output:
                output.text = output.text.replace(str(BUNDLES), "bundles")
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for notebook_path in map(Path, sys.argv[1:]) if sys.argv[1:] else sorted(FOLDER.glob("*.ipynb")):
        print(notebook_path.name, flush=True)
        keep(notebook_path)
