"""A viewer as a folder of its own: the same page, with its cases in scripts that it may load from a disk."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hybridseg.app.runtime.console import hides_bars
from hybridseg.app.runtime.failed_cases import CaseFailures
from hybridseg.transforms.io.atomic import replacing_folder

from .cases import Viewing
from .niivue import niivue_script

FOLDER = Path(__file__).parent
OVERVIEW = "overview.js"
FIRST_SCRIPT = '<script src="niivue.js">'
FASTEST = 1
"""Level of gzip: others take many times as long for a few per cent."""


def check_viewer_folder(folder: Path) -> None:
    """Check that a folder can be replaced by a viewer: it does not exist, is empty, or is a viewer.

    Raises:
        ValueError: it holds something else.
    """
    if folder.exists() and not (folder / OVERVIEW).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"viewer: {folder}: holds other files: must be a new or empty folder, or an earlier viewer")


def write_viewer(viewing: Viewing, folder: Path, *, debug: bool = False) -> bool:
    """Write the page, NiiVue and all cases to a folder, which is complete or absent; an earlier viewer is replaced.

    Args:
        viewing: the cases.
        folder: the folder.
        debug: print the traceback of each failed case.

    Returns:
        Whether a case could not be read; the page shows its error.

    Raises:
        OSError: a file cannot be written.
    """
    failures = CaseFailures("report", debug=debug)
    with replacing_folder(folder) as place:
        page = FOLDER.joinpath("viewer.html").read_text(encoding="utf-8")
        page = page.replace(FIRST_SCRIPT, f'<script src="{OVERVIEW}"></script>\n{FIRST_SCRIPT}')
        texts = {"index.html": page, "niivue.js": niivue_script()}
        texts |= {name: FOLDER.joinpath(name).read_text(encoding="utf-8") for name in ("viewer.css", "viewer.js")}
        cases = [{**case, "verdict": "", "note": ""} for case in viewing.listed()]
        texts[OVERVIEW] = f"globalThis.hybridsegOverview = {json.dumps({'title': viewing.title, 'cases': cases})};\n"
        for name, text in texts.items():
            place.joinpath(name).write_text(text, encoding="utf-8")
        (place / "cases").mkdir()
        bar = tqdm(viewing.cases, desc="viewer", unit="case", leave=False, disable=hides_bars())
        for index, case in enumerate(bar):
            record: Mapping[str, Any] | None = None
            with failures.catch(case.name):
                record = case_record(viewing, index)
            text = json.dumps(record or {"error": failures.failures[-1][1]}, allow_nan=False)
            place.joinpath("cases", f"{index}.js").write_text(f"hybridsegCase({text});\n", encoding="utf-8")
    return len(failures) > 0


def case_record(viewing: Viewing, index: int) -> dict[str, Any]:
    """Return what the page shows of a case, with its volumes as compressed NIfTI files in base64.

    Raises:
        ValueError: a file cannot be read.
    """
    details = viewing.describe(index)
    volumes = {}
    for channel in range(max(details["channels"], 1)):
        content, windows = viewing.image(index, channel)
        volumes[f"image-{channel}"] = {"content": packed(content), "windows": windows}
    for layer in details["layers"][1:]:
        volumes[layer] = {"content": packed(viewing.labels(index, layer)), "windows": []}
    return {"details": details, "volumes": volumes}


def packed(content: bytes) -> str:
    """Return bytes compressed by gzip, in base64."""
    return b64encode(gzip.compress(content, FASTEST, mtime=0)).decode()
