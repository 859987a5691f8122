"""The page of a report is one small accessible file that escapes every name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from hybridseg.app.reporting.cohort import DrawnCase
from hybridseg.app.reporting.contents import Contents
from hybridseg.app.reporting.curves import Curve
from hybridseg.app.reporting.outliers import LabelVolume
from hybridseg.app.reporting.page import render_page
from hybridseg.app.reporting.pictures import Panel
from hybridseg.transforms.structures import label_colours

from ..conftest import write_volume
from ..report_pages import Page, make_score

NAME = "<script>alert(1)<script>&\"'\u202e"


def test_names_are_escaped(cohort: Path, report: Callable[..., Page]) -> None:
    for folder in ("labels", "truth", "images"):
        (cohort / folder / "bad.nii.gz").rename(cohort / folder / f"{NAME}.nii.gz")
    failed = {
        "case": f"{NAME} failed",
        "input": "<b>",
        "outcome": "failed",
        "error": "<img src=http://a.b>\n{{ 7 * 7 }}",
    }
    (cohort / "labels" / "run.json").write_text(json.dumps({"cases": [failed], "device": "<i>"}))
    page = report("--references", cohort / "truth", "--images", cohort / "images", "--title", "</title><hr>")
    shown = NAME.replace("\u202e", "\\u202e")
    assert page.text("h3")[0] == shown
    assert page.rows("scores")[0][0] == shown
    assert page.rows("failures") == [[f"{shown} failed", "<img src=http://a.b>\\n{{ 7 * 7 }}"]]
    assert page.all("img")[0]["alt"] == f"{shown}, axial plane with reference and predicted labels"
    assert page.text("h1") == page.text("title") == ["</title><hr>"]
    assert len(page.all("script")) == 1
    assert not page.all("hr")


def test_every_field_is_escaped(tmp_path: Path) -> None:
    evil = "<b title='\"&'>\u202e\n{{ 7 * 7 }}"
    score = make_score(case=evil, label=1, name=evil, dice=0.5)
    panel = Panel(plane=evil, uri="data:,", size=(1.0, 1.0))
    contents = Contents(
        title=evil,
        facts={evil: evil},
        order=[evil, "other"],
        scores=[score, replace(score, case="other")],
        volumes=[LabelVolume(case=evil, label=1, name=evil, ml=1.0)],
        pictures=[DrawnCase(case=evil, panels=[panel], through=evil, values={1: evil}, with_reference=True)],
        label_names={1: evil},
        failures=[(evil, evil)],
        notes=[evil],
        curves=[Curve(evil, evil, ((1, 1.0),))],
    )
    (tmp_path / "page.html").write_text(render_page(contents), encoding="utf-8")
    page = Page(tmp_path / "page.html")
    assert len(page.all("section")) == 6
    assert not page.all("b")
    assert "\u202e" not in page.source
    shown = evil.replace("\u202e", "\\u202e").replace("\n", "\\n")
    for tag in ("title", "h1", "dt", "dd", "h3", "th", "td", "figcaption", "summary", "li", "text", "caption"):
        assert any(shown in words for words in page.text(tag)), tag


def test_page_loads_nothing_else(report: Callable[..., Page]) -> None:
    page = report()
    assert "http" not in page.source.replace("http-equiv", "")
    assert not re.search(r"@import|url\(", page.source)
    for _, attributes in page.tags:
        assert str(attributes.get("src") or "data:").startswith("data:")
        assert str(attributes.get("href") or "#").startswith("#")
    assert {name for _, attributes in page.tags for name in attributes if name.startswith("on")} == set()
    (policy,) = (meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert str(policy).startswith("default-src 'none'")


def test_page_is_accessible_to_screen_readers(report: Callable[..., Page]) -> None:
    page = report()
    assert page.all("html") == [{"lang": "en"}]
    assert all(image["alt"] for image in page.all("img"))
    assert all(chart["aria-label"] and chart["role"] == "img" for chart in page.all("svg"))
    assert all(heading["scope"] in ("col", "row") for heading in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table")) == 2
    headings = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    names = {str(attributes["id"]) for _, attributes in page.tags if "id" in attributes}
    assert {str(link["href"])[1:] for link in page.all("a")} <= names


def test_pictures_are_small_and_limited_in_number(cohort: Path, report: Callable[..., Page]) -> None:
    big = np.random.default_rng(0).normal(0, 100, (128, 128, 128)).astype(np.float32)  # nothing compresses worse
    labels = np.zeros(big.shape, dtype=np.uint8)
    labels[30:90, 30:90, 30:90] = 1
    write_volume(cohort / "images" / "bad.nii.gz", big)
    for folder in ("labels", "truth"):
        write_volume(cohort / folder / "bad.nii.gz", np.roll(labels, 40 * (folder == "truth"), 0))
    page = report("--references", cohort / "truth", "--images", cohort / "images", "--cases", "1")
    assert page.text("h3") == ["bad"]
    assert 30_000 < sum(len(str(image["src"])) for image in page.all("img")) < 150_000
    assert "Only the 1 worst of 2 cases have pictures." in page.text("p")


def test_legend_has_the_colours_of_the_labels(report: Callable[..., Page]) -> None:
    chips = [chip["style"] for chip in report().all("i")]
    assert chips == [f"background: {colour}" for colour in label_colours(("anterior", "posterior"))] * 2
