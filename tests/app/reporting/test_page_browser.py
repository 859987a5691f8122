"""The tables of a report sort in a real browser: the content security policy allows the page's own script."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hybridseg.app.reporting.contents import Contents
from hybridseg.app.reporting.outliers import LabelVolume
from hybridseg.app.reporting.page import digest, render_page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
VOLUMES = {"one": 9.0, "two": 10.0, "three": -1.5, "ten": 100.0}


@pytest.fixture(scope="session")
def browser() -> str:
    """The path of a Chromium; skips if there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("needs Chromium")
    return found


def shown(browser: str, folder: Path, script: str) -> str:
    """Return the DOM of a page of a few volumes after its own script and another one have run."""
    volumes = [LabelVolume(case=case, label=1, name="liver", ml=ml) for case, ml in VOLUMES.items()]
    source = render_page(Contents(order=[*VOLUMES], volumes=volumes))
    source = source.replace("script-src ", f"script-src 'sha256-{digest(script)}' ")
    source = source.replace("</body>", f"<script>{script}</script></body>").replace(
        'data-value="-1.5"', 'data-value=""'
    )
    (folder / "page.html").write_text(source, encoding="utf-8")
    options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    options += " --disable-component-update --disable-sync --dump-dom"
    command = [browser, *options.split(), f"--user-data-dir={folder / 'profile'}", (folder / "page.html").as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.mark.parametrize(
    ("column", "clicks", "order", "direction"),
    [
        (1, 0, ["one", "two", "three", "ten"], None),
        (1, 1, ["one", "two", "ten", "three"], "ascending"),
        (1, 2, ["ten", "two", "one", "three"], "descending"),
        (0, 1, ["one", "ten", "three", "two"], "ascending"),
    ],
)
def test_headings_sort_numbers_and_keep_missing_values_last(
    browser: str, tmp_path: Path, column: int, clicks: int, order: list[str], direction: str | None
) -> None:
    click = f"document.querySelectorAll('th button')[{column}].click();" * clicks
    dom = shown(browser, tmp_path, f"{click}document.title = document.querySelectorAll('th button').length;")
    assert "<title>2</title>" in dom  # a button in each heading, for keyboards
    assert re.findall(r'<th scope="row" data-value="(\w+)">', dom) == order
    assert re.findall(r'<th [^>]*aria-sort="(\w+)"', dom) == ([direction] if direction else [])
