"""`hybridseg report` writes one page that tells what was measured, and what was not."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hybridseg.app.reporting.sources import recorded_paths

from ..conftest import SPACING, hybridseg, write_volume
from ..report_pages import Page
from ..reporting.test_curves import write_events


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


def test_scores_against_other_references_are_not_taken(cohort: Path, report: Callable[..., Page]) -> None:
    shutil.copytree(cohort / "labels", cohort / "other_reader")
    assert hybridseg("evaluate", cohort / "labels", cohort / "truth", "-o", cohort / "labels").code == 0
    page = report("--references", cohort / "other_reader")
    assert {row[3] for row in page.rows("scores")} == {"1.0"}


def test_a_link_to_nowhere_stops_no_other_case(cohort: Path, report: Callable[..., Page]) -> None:
    assert hybridseg("evaluate", cohort / "labels", cohort / "truth", "-o", cohort / "labels").code == 0
    (cohort / "labels" / "gone.nii.gz").symlink_to("nowhere")
    page = report("--references", cohort / "truth", code=1, err="gone.nii.gz: ")
    assert {row[0] for row in page.rows("scores")} == {"good", "bad"}


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


def test_an_image_is_found_though_its_path_has_a_comma(bundle: Path, tmp_path: Path) -> None:
    image = write_volume(tmp_path / "Doe, Jane, 1970" / "one.nii.gz")
    assert hybridseg("predict", image, "-o", tmp_path / "out", "--bundle", bundle).code == 0
    assert hybridseg("report", tmp_path / "out", "-o", tmp_path / "page.html").code == 0
    assert len(Page(tmp_path / "page.html").all("img")) == 3


def test_of_several_recorded_images_all_must_be_there(tmp_path: Path) -> None:
    images = [str(write_volume(tmp_path / "Doe, Jane" / f"t{number}.nii.gz")) for number in (1, 2)]
    assert recorded_paths(", ".join(images)) == images
    assert recorded_paths(", ".join([*images, "gone.nii.gz"])) == []


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
