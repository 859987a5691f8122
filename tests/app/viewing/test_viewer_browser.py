"""The viewer in a real browser, with a software WebGL: it draws, moves, switches cases, and asks no other machine."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hybridseg.app.viewing import ReviewNotes, ViewServer, open_cases, write_viewer

from ..conftest import write_volume

pytestmark = pytest.mark.slow

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--headless=new", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
SHOWN = "name => document.body.dataset.shown === name"


@pytest.fixture
def page() -> Iterator[Any]:
    """A page of a browser, and what it must not do: errors, and requests to other machines."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("needs Chromium")
    complaints: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=FLAGS)
        page = browser.new_page(viewport={"width": 760, "height": 480})
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(("http://127.0.0.1:", "file:", "data:", "blob:"))
                else complaints.append(request.url)
            ),
        )
        yield page
        browser.close()
    assert complaints == []


def picture(page: Any) -> np.ndarray:
    """Return the canvas as RGB (H, W, 3), once two pictures in a row are the same."""
    before, now = np.zeros(0), photograph(page)
    while not np.array_equal(before, now):
        before, now = now, photograph(page)
    return now


def photograph(page: Any) -> np.ndarray:
    """Return the canvas as it is now."""
    return np.asarray(Image.open(BytesIO(page.locator("#canvas").screenshot())).convert("RGB")).astype(int)


def coloured(picture: np.ndarray) -> float:
    """Return the share of pixels that are not grey: labels and the crosshair."""
    return float((np.ptp(picture, axis=-1) > 40).mean())


def walk(page: Any) -> None:
    """Look at the cases of the cohort as a reader would."""
    page.wait_for_function(SHOWN, arg="bad")
    first = picture(page)
    assert np.unique(first.reshape(-1, 3), axis=0).shape[0] > 100
    assert page.locator("#labels tbody tr").count() == 2
    page.keyboard.press("l")
    page.keyboard.press("o")
    assert coloured(picture(page)) < coloured(first) / 2  # the labels are gone
    page.keyboard.press("l")
    page.keyboard.press("o")
    place = page.locator("#position").inner_text()
    box = page.locator("#canvas").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
    page.wait_for_function("text => document.getElementById('position').innerText !== text", arg=place)
    page.keyboard.press("n")
    page.wait_for_function(SHOWN, arg="good")
    assert not np.array_equal(picture(page), first)
    page.keyboard.press("5")
    assert coloured(picture(page)) > 0


def test_cases_are_drawn_and_noted(page: Any, cohort: Path) -> None:
    viewing = open_cases([cohort / "labels"], references=cohort / "truth", images=cohort / "images")
    with ViewServer(viewing, ReviewNotes(cohort / "review.csv")) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        page.goto(server.url)
        walk(page)
        page.keyboard.press("r")
        page.keyboard.type("leaks")
        page.keyboard.press("Escape")
        page.wait_for_function("document.querySelectorAll('#cases .rejected').length === 1")
        page.wait_for_function("document.querySelector('#cases [title*=leaks]') !== null")
        server.shutdown()
        thread.join()
    row = ReviewNotes(cohort / "review.csv").rows["good"]
    assert (row["verdict"], row["note"]) == ("rejected", "leaks")


def test_folder_opens_from_a_disk_and_shows_errors(page: Any, cohort: Path) -> None:
    write_volume(cohort / "labels" / "worse.nii.gz", np.full((4, 4, 4), -1, np.int16))
    viewing = open_cases([cohort / "labels"], references=cohort / "truth", images=cohort / "images")
    assert write_viewer(viewing, cohort / "viewer #1")
    page.goto((cohort / "viewer #1" / "index.html").as_uri())
    walk(page)
    assert page.locator("#review").is_hidden()
    page.keyboard.press("n")
    page.wait_for_function(SHOWN, arg="worse")
    assert "worse.nii.gz" in page.locator("#message").inner_text()
