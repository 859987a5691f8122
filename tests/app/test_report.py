"""`hybridseg report` writes one page that tells what was measured, whatever the files are called."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from hybridseg.app.figure import COLOURS

from .conftest import hybridseg, write_volume
from .test_report_curves import write_events

SPACING = np.diag([2.0, 1.5, 3.0, 1.0])
EVIL = "<script>alert(1)<|script>&\"'\u202e"
VOID = {"meta", "img"}


class Page(HTMLParser):
    """A page taken apart; a tag that is closed by another, or not at all, is an error."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[tuple[str, str]] = []
        self.feed(self.source.replace("<wbr>", ""))  # where a name may be broken
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        self.open += [] if tag in VOID else [tag]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all tags of a name."""
        return [attributes for name, attributes in self.tags if name == tag]

    def text(self, tag: str) -> list[str]:
        """The words within tags of a name."""
        return [words for name, words in self.words if name == tag]

    def rows(self, section: str) -> list[list[str]]:
        """What the cells of a section's tables are sorted by."""
        (part,) = re.findall(rf'<section id="{section}".*?</section>', self.source, re.DOTALL)
        rows = re.findall(r"<tr>(.*?)</tr>", part, re.DOTALL)
        values = [[html.unescape(value) for value in re.findall(r'data-value="(.*?)"', row)] for row in rows]
        return [row for row in values if row]  # a row of headings has none


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Two predictions in `labels`, `good` off by a voxel and `bad` without one of two labels, and all they need."""
    truth = np.zeros((16, 16, 16), dtype=np.uint8)
    truth[3:13, 3:13, 3:8] = 1
    truth[3:13, 3:13, 9:13] = 2
    good = np.roll(truth, 1, 2)
    bad = np.where(np.roll(truth, 2, 1) == 1, 1, 0).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 5, truth.shape)
    for case, labels in (("good", good), ("bad", bad)):
        write_volume(tmp_path / "labels" / f"{case}.nii.gz", labels, SPACING)
        write_volume(tmp_path / "truth" / f"{case}.nii.gz", truth, SPACING)
        write_volume(tmp_path / "images" / f"{case}.nii.gz", (50 * truth + noise).astype(np.float32), SPACING)
    return tmp_path


@pytest.fixture
def report(cohort: Path) -> Callable[..., Page]:
    """Reports on the cohort, by default with all that there is, and reads the page."""

    def write(*words: str | Path, code: int = 0, err: str = "") -> Page:
        options = words or ("--references", cohort / "truth", "--images", cohort / "images")
        outcome = hybridseg("report", cohort / "labels", "-o", cohort / "page.html", *options)
        assert (outcome.code, outcome.out) == (code, f"report written to {cohort / 'page.html'}\n")
        assert outcome.err == err or (err and err in outcome.err)
        return Page(cohort / "page.html")

    return write


def test_the_numbers_are_those_of_evaluate(cohort: Path, report: Callable[..., Page]) -> None:
    told = hybridseg("evaluate", cohort / "labels", cohort / "truth", "--json", "--tolerance", "2")
    evaluated = json.loads(told.out)
    page = report("--references", cohort / "truth", "--tolerance", "2")
    fields = ["case", "name", "outcome", "dice", "hd95", "assd", "surface_dice"]
    fields += ["reference_ml", "prediction_ml", "volume_difference_ml"]
    expected = [["" if score[name] is None else str(score[name]) for name in fields] for score in evaluated["scores"]]
    assert sorted(page.rows("scores")) == sorted(expected)
    measures = ("dice", "surface_dice", "hd95", "assd", "volume_difference_ml")
    summaries = [*evaluated["labels"], evaluated["overall"]]
    means = [[summary["name"], *(str(summary[name]["mean"]) for name in measures)] for summary in summaries]
    assert [row[:6] for row in page.rows("agreement")] == means
    low, high = evaluated["labels"][0]["dice"]["low"], evaluated["labels"][0]["dice"]["high"]
    assert f"{low:.3f} to {high:.3f}" in page.text("small")
    assert "Surface Dice at 2 mm" in page.text("th")


def test_the_worst_case_and_label_come_first_everywhere(report: Callable[..., Page]) -> None:
    page = report()
    assert [row[:3] for row in page.rows("scores")] == [
        *(["bad", "2", "missed"], ["bad", "1", "found"]),
        *(["good", "2", "found"], ["good", "1", "found"]),
    ]
    assert page.text("h3") == ["bad", "good"]
    assert "Axial, coronal, sagittal, each through the largest error in 2 (Dice 0.000)." in page.text("figcaption")


def test_scores_that_lie_there_are_taken_and_stale_ones_are_not(cohort: Path, report: Callable[..., Page]) -> None:
    assert hybridseg("evaluate", cohort / "labels", cohort / "truth", "-o", cohort / "labels").code == 0
    scores = json.loads((cohort / "labels" / "scores.json").read_text())
    for score in scores:
        score["dice"] = 0.125
    (cohort / "labels" / "scores.json").write_text(json.dumps(scores))
    references: tuple[str | Path, ...] = ("--references", cohort / "truth")

    def dice(*words: str | Path) -> set[str]:
        return {row[3] for row in report(*words).rows("scores")}

    assert dice("--cases", "0") == dice(*references) == {"0.125"}
    assert "0.125" not in dice(*references, "--tolerance", "3")
    later = (cohort / "labels" / "scores.json").stat().st_mtime + 10
    os.utime(cohort / "truth" / "good.nii.gz", (later, later))
    assert "0.125" not in dice(*references)
    assert dice(*references, "--scores", cohort / "labels") == {"0.125"}


def test_without_references_there_are_volumes_and_outliers(cohort: Path, report: Callable[..., Page]) -> None:
    cube = np.zeros((16, 16, 16), dtype=np.uint8)
    for index in range(6):
        cube[2 : 8 + index % 2, 2:8, 2:8] = 1
        write_volume(cohort / "labels" / f"case_{index}.nii.gz", cube, SPACING)
    page = report("--images", cohort / "images")
    first, *_ = rows = page.rows("volumes")
    assert len(rows) == 8
    assert first[0] == "bad" or first[0] == "good"
    assert any(words.startswith("outlier, z +") for words in page.text("small"))
    assert not re.search(r'id="(scores|agreement|failures)"', page.source)
    assert len(page.all("img")) == 6  # three planes of the two cases that have an image


def test_names_are_text_and_never_markup(cohort: Path, report: Callable[..., Page]) -> None:
    name = EVIL.replace("|", "")
    for folder in ("labels", "truth", "images"):
        (cohort / folder / "bad.nii.gz").rename(cohort / folder / f"{name}.nii.gz")
    failed = {"case": f"{name} failed", "input": "<b>", "outcome": "failed", "error": "<img src=http://a.b>"}
    (cohort / "labels" / "run.json").write_text(json.dumps({"cases": [failed], "device": "<i>"}))
    page = report("--references", cohort / "truth", "--images", cohort / "images", "--title", "</title><hr>")
    shown = name.replace("\u202e", "\\u202e")
    assert page.text("h3")[0] == shown
    assert page.rows("scores")[0][0] == shown
    assert page.rows("failures") == [[f"{shown} failed", "<img src=http://a.b>"]]
    assert page.all("img")[0]["alt"] == f"{shown}, axial plane with reference and predicted labels"
    assert page.text("h1") == page.text("title") == ["</title><hr>"]
    assert len(page.all("script")) == 1
    assert not page.all("hr")


def test_the_page_needs_nothing_but_itself(report: Callable[..., Page]) -> None:
    page = report()
    assert "http" not in page.source.replace("http-equiv", "")
    assert not re.search(r"@import|url\(", page.source)
    for _, attributes in page.tags:
        assert str(attributes.get("src") or "data:").startswith("data:")
        assert str(attributes.get("href") or "#").startswith("#")
    assert {name for _, attributes in page.tags for name in attributes if name.startswith("on")} == set()
    (policy,) = (meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert str(policy).startswith("default-src 'none'")


def test_the_page_can_be_read_without_eyes(report: Callable[..., Page]) -> None:
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


def test_a_case_is_small_and_only_so_many_are_drawn(cohort: Path, report: Callable[..., Page]) -> None:
    big = np.random.default_rng(0).normal(0, 100, (128, 128, 128)).astype(np.float32)  # nothing compresses worse
    labels = np.zeros(big.shape, dtype=np.uint8)
    labels[30:90, 30:90, 30:90] = 1
    write_volume(cohort / "images" / "bad.nii.gz", big)
    for folder in ("labels", "truth"):
        write_volume(cohort / folder / "bad.nii.gz", np.roll(labels, 40 * (folder == "truth"), 0))
    page = report("--references", cohort / "truth", "--images", cohort / "images", "--cases", "1")
    assert page.text("h3") == ["bad"]
    assert 30_000 < sum(len(str(image["src"])) for image in page.all("img")) < 150_000
    assert "The pictures show the 1 worst of 2 cases." in page.text("p")


def test_images_and_bundle_are_those_of_the_run(volume: Callable[[str], Path], bundle: Path, tmp_path: Path) -> None:
    images = [volume("one"), write_volume(tmp_path / "images" / "broken.nii.gz")]
    images[1].write_bytes(b"nothing")
    assert hybridseg("predict", *images, "-o", tmp_path / "out", "--bundle", bundle).code == 1
    outcome = hybridseg("report", tmp_path / "out", "-o", tmp_path / "page.html")
    assert (outcome.code, outcome.err) == (0, "")
    page = Page(tmp_path / "page.html")
    assert len(page.all("img")) == 3
    assert "random_mri_segmentation" in page.text("dd")
    assert json.loads((bundle / "configs" / "metadata.json").read_text())["version"] in page.text("dd")
    ((case, line),) = page.rows("failures")
    assert case == "broken"
    assert line.startswith(str(images[1]))


def test_a_cohort_of_which_every_case_failed_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    record = {"cases": [{"case": "one", "input": "one.nii", "outcome": "failed", "error": "one.nii: bad"}]}
    (tmp_path / "out" / "run.json").write_text(json.dumps(record))
    assert hybridseg("report", tmp_path / "out", "-o", tmp_path / "page.html").code == 0
    assert Page(tmp_path / "page.html").rows("failures") == [["one", "one.nii: bad"]]


def test_what_cannot_be_drawn_is_told_and_the_others_are(cohort: Path, report: Callable[..., Page]) -> None:
    write_volume(cohort / "images" / "bad.nii.gz", np.arange(64, dtype=np.float32).reshape(4, 4, 4))
    page = report(code=1, err="bad.nii.gz: shape")
    assert page.text("h3") == ["good"]
    ((case, line),) = page.rows("failures")
    assert (case, "bad.nii.gz: shape (16, 16, 16) instead of (4, 4, 4)" in line) == ("bad", True)
    assert {row[0] for row in page.rows("scores")} == {"good", "bad"}
    assert len(report("--images", cohort / "images", "--resample").text("h3")) == 2


def test_what_cannot_be_measured_is_told_and_the_others_are(cohort: Path, report: Callable[..., Page]) -> None:
    (cohort / "truth" / "bad.nii.gz").rename(cohort / "truth" / "other.nii.gz")
    page = report("--references", cohort / "truth", code=1, err="bad.nii.gz: no reference named bad")
    assert {row[0] for row in page.rows("scores")} == {"good"}
    assert page.rows("failures")[0][0] == "bad"
    assert "1 of 2 references have no prediction: other." in page.text("p")


def test_a_training_alone_makes_a_page(tmp_path: Path) -> None:
    write_events(tmp_path / "run", {"loss": {1: 2.0, 2: 1.0}, "val_mean_dice": {2: 0.5}})
    assert hybridseg("report", "--run-dir", tmp_path / "run", "-o", tmp_path / "page.html").code == 0
    page = Page(tmp_path / "page.html")
    assert page.text("h3") == ["loss", "val_mean_dice"]
    assert page.rows("training") == [["1", "2.0"], ["2", "1.0"], ["2", "0.5"]]
    assert len(page.all("svg")) == 2
    assert (page.text("h1"), page.text("dd")) == (["Segmentation report: run"], ["run", "2"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["labels", "--tolerance", "0"], "tolerance: 0.0: must be a length above 0 mm"),
        (["labels", "--cases", "-1"], "cases: -1: must be at least 0"),
        ([], "predictions: none: must be given, or --run-dir, or both"),
        (["--run-dir", "labels", "--images", "images"], "images: images: must be given beside PREDICTIONS"),
        (["--run-dir", "labels"], "run_dir: labels: no curves in events.out.tfevents.*"),
        (["nowhere"], "nowhere: does not exist: must be a file or a folder"),
        (["labels", "--references", "nowhere"], "nowhere: does not exist: must be a file or a folder"),
        (["labels", "--images", "nowhere"], "nowhere: does not exist: must be a file or a folder"),
        (["labels", "--bundle", "liver"], "bundle: 'liver': must be the name of a shipped bundle"),
        (["labels", "--scores", "truth"], "truth/scores.json: No such file or directory"),
        (["labels", "-o", "page.pdf"], "output: page.pdf: must be a file whose name ends in .html"),
    ],
)
def test_wrong_usage_is_one_line_and_writes_nothing(
    cohort: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(cohort)
    before = sorted(cohort.rglob("*"))
    outcome = hybridseg("report", *words, *([] if "-o" in words else ["-o", "page.html"]))
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"hybridseg report: {message}")
    assert outcome.err.count("\n") == 1
    assert sorted(cohort.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", {"cases": ["one"]}, "run.json: cases that are none: must be written by hybridseg predict"),
        ("scores.json", [{"case": "good"}], "scores.json: no list of scores: must be written by hybridseg evaluate -o"),
        ("summary.json", {}, "summary.json: no tolerance_mm: must be written by hybridseg evaluate -o"),
    ],
)
def test_a_record_that_is_none_is_refused(cohort: Path, name: str, content: object, message: str) -> None:
    assert hybridseg("evaluate", cohort / "labels", cohort / "truth", "-o", cohort / "labels").code == 0
    (cohort / "labels" / name).write_text(json.dumps(content))
    outcome = hybridseg("report", cohort / "labels", "-o", cohort / "page.html")
    assert (outcome.code, outcome.err) == (2, f"hybridseg report: {cohort / 'labels'}/{message}\n")


def test_scores_of_others_or_at_another_tolerance_are_refused(cohort: Path) -> None:
    assert hybridseg("evaluate", cohort / "labels", cohort / "truth", "-o", cohort / "scores").code == 0
    words = ("report", cohort / "labels", "-o", cohort / "page.html", "--scores", cohort / "scores")
    outcome = hybridseg(*words, "--tolerance", "2")
    assert outcome.code == 2
    assert "scores.json: surface Dice at 1 mm: must be at the tolerance, 2 mm" in outcome.err
    (cohort / "labels" / "bad.nii.gz").unlink()
    outcome = hybridseg(*words)
    assert outcome.code == 2
    assert "scores.json: scores of 'bad': must be of the label maps in" in outcome.err


def test_regions_are_told_by_their_names(cohort: Path) -> None:
    shutil.copytree(cohort / "truth", cohort / "copies")
    words = ("--references", cohort / "truth", "--bundle", "brain_tumour_mri_segmentation")
    outcome = hybridseg("report", cohort / "copies", "-o", cohort / "page.html", *words)
    assert (outcome.code, outcome.err) == (0, "")
    names = {row[1] for row in Page(cohort / "page.html").rows("scores")}
    assert names == {"whole tumour", "tumour core", "enhancing tumour"}


def test_one_case_has_no_interval_and_no_chart(cohort: Path) -> None:
    words = ("--references", cohort / "truth", "-o", cohort / "page.html")
    assert hybridseg("report", cohort / "labels" / "good.nii.gz", *words).code == 0
    page = Page(cohort / "page.html")
    assert len(page.rows("agreement")) == 3
    assert not page.all("svg")
    assert not page.text("small")
    assert "95 %" not in page.source


def test_colours_of_the_pictures_are_in_their_legend(report: Callable[..., Page]) -> None:
    chips = [chip["style"] for chip in report().all("i")]
    assert chips == [f"background: {colour}" for colour in COLOURS[:2]] * 2
