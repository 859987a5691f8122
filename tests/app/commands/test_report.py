"""`hybridseg report` writes one page with the measured cases and the failed ones."""

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


def test_scores_equal_those_of_evaluate(cohort: Path, report: Callable[..., Page]) -> None:
    result = hybridseg("evaluate", cohort / "labels", cohort / "truth", "--json", "--tolerance", "2")
    evaluated = json.loads(result.out)
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


def test_worst_case_and_worst_label_come_first(report: Callable[..., Page]) -> None:
    page = report()
    assert [row[:3] for row in page.rows("scores")] == [
        *(["bad", "2", "missed"], ["bad", "1", "found"]),
        *(["good", "2", "found"], ["good", "1", "found"]),
    ]
    assert page.text("h3") == ["bad", "good"]
    assert "Axial, coronal, sagittal, each through the largest error in 2 (Dice 0.000)." in page.text("figcaption")


def test_existing_scores_are_used_unless_they_are_stale(cohort: Path, report: Callable[..., Page]) -> None:
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


def test_scores_of_other_label_maps_are_not_used(cohort: Path, report: Callable[..., Page]) -> None:
    labels = cohort / "labels"
    assert hybridseg("evaluate", labels, cohort / "truth", "-o", labels).code == 0
    earlier = (labels / "good.nii.gz").stat().st_mtime - 10
    shutil.copy(labels / "bad.nii.gz", labels / "good.nii.gz")
    os.utime(labels / "good.nii.gz", (earlier, earlier))  # as cp -p leaves it
    dice = {row[0]: row[3] for row in report("--references", cohort / "truth").rows("scores") if row[1] == "2"}
    assert dice == {"good": "0.0", "bad": "0.0"}


def test_scores_against_other_references_are_not_used(cohort: Path, report: Callable[..., Page]) -> None:
    shutil.copytree(cohort / "labels", cohort / "other_reader")
    assert hybridseg("evaluate", cohort / "labels", cohort / "truth", "-o", cohort / "labels").code == 0
    page = report("--references", cohort / "other_reader")
    assert {row[3] for row in page.rows("scores")} == {"1.0"}


def test_broken_link_fails_only_its_case(cohort: Path, report: Callable[..., Page]) -> None:
    assert hybridseg("evaluate", cohort / "labels", cohort / "truth", "-o", cohort / "labels").code == 0
    (cohort / "labels" / "gone.nii.gz").symlink_to("nowhere")
    page = report("--references", cohort / "truth", code=1, err="gone.nii.gz: ")
    assert {row[0] for row in page.rows("scores")} == {"good", "bad"}


def test_without_references_volumes_and_outliers_are_shown(cohort: Path, report: Callable[..., Page]) -> None:
    cube = np.zeros((16, 16, 16), dtype=np.uint8)
    for index in range(6):
        cube[2 : 8 + index % 2, 2:8, 2:8] = 1
        write_volume(cohort / "labels" / f"case_{index}.nii.gz", cube, SPACING)
    page = report("--images", cohort / "images")
    rows = page.rows("volumes")
    assert len(rows) == 8
    assert [row[0] for row in rows[:2]] == ["good", "bad"]
    assert page.text("small") == ["outlier, z +6.4"]  # only good has label 2
    assert not re.search(r'id="(scores|agreement|failures)"', page.source)
    assert len(page.all("img")) == 6  # three planes of the two cases that have an image


def test_images_and_bundle_come_from_the_run_record(
    volume: Callable[[str], Path], bundle: Path, tmp_path: Path
) -> None:
    images = [volume("one"), write_volume(tmp_path / "images" / "broken.nii.gz")]
    images[1].write_bytes(b"nothing")
    assert hybridseg("predict", *images, "-o", tmp_path / "out", "--bundle", bundle).code == 1
    result = hybridseg("report", tmp_path / "out", "-o", tmp_path / "page.html")
    assert (result.code, result.err) == (0, "")
    page = Page(tmp_path / "page.html")
    assert len(page.all("img")) == 3  # three planes of the case that was predicted
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


def test_several_recorded_images_must_all_exist(tmp_path: Path) -> None:
    images = [str(write_volume(tmp_path / "Doe, Jane" / f"t{number}.nii.gz")) for number in (1, 2)]
    assert recorded_paths(", ".join(images)) == images
    assert recorded_paths(", ".join([*images, "gone.nii.gz"])) == []


def test_cohort_without_any_label_map_lists_the_failures(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    record = {"cases": [{"case": "one", "input": "one.nii", "outcome": "failed", "error": "one.nii: bad"}]}
    (tmp_path / "out" / "run.json").write_text(json.dumps(record))
    assert hybridseg("report", tmp_path / "out", "-o", tmp_path / "page.html").code == 0
    assert Page(tmp_path / "page.html").rows("failures") == [["one", "one.nii: bad"]]


def test_case_that_cannot_be_drawn_is_listed_as_failed(cohort: Path, report: Callable[..., Page]) -> None:
    write_volume(cohort / "images" / "bad.nii.gz", np.arange(64, dtype=np.float32).reshape(4, 4, 4))
    page = report(code=1, err="bad.nii.gz: shape")
    assert page.text("h3") == ["good"]
    ((case, line),) = page.rows("failures")
    assert case == "bad"
    assert "bad.nii.gz: shape (16, 16, 16) instead of (4, 4, 4)" in line
    assert {row[0] for row in page.rows("scores")} == {"good", "bad"}
    assert len(report("--images", cohort / "images", "--resample").text("h3")) == 2


def test_case_without_reference_is_listed_as_failed(cohort: Path, report: Callable[..., Page]) -> None:
    (cohort / "truth" / "bad.nii.gz").rename(cohort / "truth" / "other.nii.gz")
    page = report("--references", cohort / "truth", code=1, err="bad.nii.gz: no reference named bad")
    assert {row[0] for row in page.rows("scores")} == {"good"}
    assert [case for case, _ in page.rows("failures")] == ["bad"]
    assert "1 of 2 references have no prediction: other." in page.text("p")


def test_training_alone_makes_a_page(tmp_path: Path) -> None:
    write_events(tmp_path / "run", {"loss": {1: 2.0, 2: 1.0}, "val_mean_dice": {2: 0.5}})
    assert hybridseg("report", "--run-dir", tmp_path / "run", "-o", tmp_path / "page.html").code == 0
    page = Page(tmp_path / "page.html")
    assert page.text("h3") == ["loss", "val_mean_dice"]
    assert page.rows("training") == [["1", "2.0"], ["2", "1.0"], ["2", "0.5"]]
    assert len(page.all("svg")) == 2
    assert (page.text("h1"), page.text("dd")) == (["Segmentation report: run"], ["run", "2"])


def test_regions_are_named(cohort: Path) -> None:
    shutil.copytree(cohort / "truth", cohort / "copies")
    words = ("--references", cohort / "truth", "--bundle", "brain_tumour_mri_segmentation")
    result = hybridseg("report", cohort / "copies", "-o", cohort / "page.html", *words)
    assert (result.code, result.err) == (0, "")
    names = {row[1] for row in Page(cohort / "page.html").rows("scores")}
    assert names == {"whole tumour", "tumour core", "enhancing tumour"}


def test_single_case_has_no_interval_and_no_chart(cohort: Path) -> None:
    words = ("--references", cohort / "truth", "-o", cohort / "page.html")
    assert hybridseg("report", cohort / "labels" / "good.nii.gz", *words).code == 0
    page = Page(cohort / "page.html")
    assert len(page.rows("agreement")) == 3
    assert not page.all("svg")
    assert not page.text("small")
    assert "95 %" not in page.source
