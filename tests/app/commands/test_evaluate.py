"""`hybridseg evaluate` scores each prediction against the reference of its name."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ignite.engine import Engine

from hybridseg.app.commands.evaluate import LOCK
from hybridseg.app.evaluation.handler import ScoreCases
from hybridseg.app.runtime.folder_lock import folder_lock
from hybridseg.transforms import LoadVolumed

from ..conftest import SPACING, hybridseg, predict, write_volume


@pytest.fixture
def maps(tmp_path: Path) -> tuple[Path, Path]:
    """Make two predictions and three references: `same` agrees, `shifted` is off by a voxel of 3 mm."""
    reference = np.zeros((16, 16, 16), dtype=np.uint8)
    reference[3:13, 3:13, 3:13] = 1
    for case in ("same", "shifted", "unused"):
        write_volume(tmp_path / "references" / f"{case}.nii.gz", reference, SPACING)
    write_volume(tmp_path / "predictions" / "same.nii.gz", reference, SPACING)
    write_volume(tmp_path / "predictions" / "shifted.nii.gz", np.roll(reference, 1, 2), SPACING)
    return tmp_path / "predictions", tmp_path / "references"


def test_table_has_the_numbers_computed_by_hand(maps: tuple[Path, Path]) -> None:
    result = hybridseg("evaluate", *maps, "--labels", "1=cube", "--tolerance", "3")
    assert result.code == 0
    header, units, means, intervals, *notes = result.out.splitlines()
    assert re.split(" {2,}", header) == [
        *("label", "found", "missed", "false", "absent", "Dice", "HD95", "ASSD", "surface Dice", "volume error")
    ]
    assert re.split(" {2,}", units.strip()) == ["mm", "mm", "at 3 mm", "ml"]
    # ASSD of the shifted cube: of 488 surface voxels the 100 of the leading face are 3 mm off; of the 64 of the
    # last face that are in the other cube 16 are 1.5 mm, 12 are 2 mm and 36 are 3 mm from its surface: 456 / 488 mm.
    assert re.split(" {2,}", means) == [
        *("cube", "2", "0", "0", "0", "0.950 ± 0.050", "1.50 ± 1.50", "0.47 ± 0.47", "1.000 ± 0.000", "0.00 ± 0.00")
    ]
    assert re.split(" {2,}", intervals.strip()) == [
        *("[0.900, 1.000]", "[0.00, 3.00]", "[0.00, 0.93]", "[1.000, 1.000]", "[0.00, 0.00]")
    ]
    assert notes == ["in brackets: 95 % confidence interval of the mean, by resampling cases", "2 of 2 cases scored"]
    assert {len(line) for line in (header, units, means, intervals)} == {len(header)}


def test_sheared_grid_is_measured_as_it_lies_in_space(tmp_path: Path) -> None:
    slope = np.sqrt(0.5)  # the second axis is at 45 degrees to the first
    affines = {
        "upright": np.eye(4),
        "sheared": np.array([[1, slope, 0, 0], [0, slope, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
    }
    indices = np.indices((48, 48, 48)).reshape(3, -1).T - 23.5
    for name, affine in affines.items():
        places = indices @ affine[:3, :3].T
        for folder, middle in (("references", 0.0), ("predictions", 3.0)):
            ball = np.linalg.norm(places - [middle, 0, 0], axis=1) < 8
            write_volume(tmp_path / folder / f"{name}.nii.gz", ball.reshape(48, 48, 48).astype(np.uint8), affine)
    result = hybridseg("evaluate", tmp_path / "predictions", tmp_path / "references", "--json")
    scores = {score["case"]: score for score in json.loads(result.out)["scores"]}
    for name, tolerance in (
        ("reference_ml", 0.05),
        ("dice", 0.01),
        ("hd95", 0.3),
        ("assd", 0.15),
        ("surface_dice", 0.05),
    ):
        assert scores["sheared"][name] == pytest.approx(scores["upright"][name], abs=tolerance), name


def test_table_of_long_names_fits_a_wide_terminal(tmp_path: Path) -> None:
    reference = np.zeros((60, 60, 60), dtype=np.uint8)
    reference[5:30, 5:30, 5:30] = 1
    for case, shift in (("one", 1), ("two", 25)):
        write_volume(tmp_path / "references" / f"{case}.nii.gz", reference, SPACING)
        write_volume(tmp_path / "predictions" / f"{case}.nii.gz", np.roll(reference, shift, 2), SPACING)
    result = hybridseg("evaluate", tmp_path / "predictions", tmp_path / "references", "--labels", "1=kidney_right")
    assert result.code == 0
    assert max(map(len, result.out.splitlines())) <= 125


def test_single_case_has_no_interval(maps: tuple[Path, Path]) -> None:
    result = hybridseg("evaluate", maps[0] / "shifted.nii.gz", maps[1], "--labels", "1=cube")
    assert (result.code, result.err) == (0, "")
    assert len(result.out.splitlines()) == 4
    assert "0.900 ± 0.000" in result.out
    assert "[" not in result.out


def test_files_and_json_hold_the_same_scores(maps: tuple[Path, Path], tmp_path: Path) -> None:
    result = hybridseg("evaluate", *maps, "-o", tmp_path / "out", "--json")
    printed = json.loads(result.out)
    assert printed["cases"] == 2
    assert printed["overall"]["dice"] == {"mean": 0.95, "std": 0.05, "low": 0.9, "high": 1.0}
    assert {score["case"]: score["hd95"] for score in printed["scores"]} == {"same": 0.0, "shifted": 3.0}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["scores.csv", "scores.json", "summary.json"]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary == {name: printed[name] for name in summary}
    with (tmp_path / "out" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert json.loads((tmp_path / "out" / "scores.json").read_text()) == printed["scores"]
    texts = [{name: "" if value is None else str(value) for name, value in row.items()} for row in printed["scores"]]
    assert rows == texts


def test_case_name_beyond_utf_8_is_in_every_file(maps: tuple[Path, Path], tmp_path: Path) -> None:
    for folder in maps:
        (folder / "same.nii.gz").rename(folder / os.fsdecode(b"caf\xe9.nii.gz"))
    result = hybridseg("evaluate", *maps, "-o", tmp_path / "out")
    assert result.code == 0, result.err
    assert "\ncaf\\udce9,1," in (tmp_path / "out" / "scores.csv").read_text()
    assert json.loads((tmp_path / "out" / "scores.json").read_text())[0]["case"] == "caf\udce9"


def test_labels_are_named_as_in_the_bundle(maps: tuple[Path, Path]) -> None:
    result = hybridseg("evaluate", *maps, "--bundle", "hippocampus_mri_segmentation", "--json")
    first, second = json.loads(result.out)["labels"]
    assert (first["name"], first["found"]) == ("anterior", 2)
    assert (second["name"], second["absent"], second["dice"]["mean"]) == ("posterior", 2, None)


def test_labels_of_a_bundle_are_chosen_by_name_or_number(maps: tuple[Path, Path]) -> None:
    for chosen in ("anterior", "1"):
        words = ("--bundle", "hippocampus_mri_segmentation", "--labels", chosen, "--json")
        (label,) = json.loads(hybridseg("evaluate", *maps, *words).out)["labels"]
        assert label["name"] == "anterior"


def test_labels_are_named_as_in_the_bundle_that_predicted(
    bundle: Path, tmp_path: Path, volume: Callable[[str], Path]
) -> None:
    assert predict(bundle, tmp_path / "out", volume("one")).code == 0
    result = hybridseg("evaluate", tmp_path / "out", tmp_path / "out", "--json")
    assert [label["name"] for label in json.loads(result.out)["labels"]] == ["anterior", "posterior"]


def test_bundle_without_label_names_is_an_error(maps: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("metadata.json", "inference.json"):
        (tmp_path / "zoo" / "configs").mkdir(parents=True, exist_ok=True)
        (tmp_path / "zoo" / "configs" / name).write_text("{}")
    result = hybridseg("evaluate", *maps, "--bundle", tmp_path / "zoo")
    assert (result.code, result.out) == (2, "")
    assert "configs/inference.json: no label_names: must have label_names, preprocessing, network, " in result.err


def test_empty_prediction_counts_as_missed(maps: tuple[Path, Path]) -> None:
    write_volume(maps[0] / "same.nii.gz", np.zeros((16, 16, 16), dtype=np.uint8), SPACING)
    result = hybridseg("evaluate", *maps)
    assert result.code == 0
    assert "0.450 ± 0.450" in result.out
    assert "missed or false labels count 0" in result.out


def test_failed_cases_are_reported_and_the_others_scored(maps: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, references = maps
    labels = np.ones((16, 16, 16), dtype=np.uint8)
    moved = SPACING.copy()
    moved[0, 3] = 5.0
    for case, voxels, affine in (("shape", labels[:-1], SPACING), ("place", labels, moved), ("alone", labels, SPACING)):
        write_volume(predictions / f"{case}.nii.gz", voxels, affine)
        if case != "alone":
            write_volume(references / f"{case}.nii.gz", labels, SPACING)
    write_volume(predictions / "unused.nii.gz", labels + 0.5, SPACING)
    result = hybridseg("evaluate", predictions, references, "-o", tmp_path / "out")
    assert result.code == 1
    assert result.out.endswith("2 of 6 cases scored\n")
    assert "(--complete" not in result.err  # each reference has a prediction, though some are bad
    alone, place, shape, unused = sorted(result.err.splitlines())
    assert "alone.nii.gz: no reference named alone: every prediction needs a reference of its name" in alone
    assert "place.nii.gz: affine that places voxels up to 5 mm elsewhere: must be on the grid of" in place
    assert "shape.nii.gz: shape (15, 16, 16) instead of (16, 16, 16): must be on the grid of" in shape
    assert shape.endswith(", or resampled with --resample")
    assert "labels must be integers" in unused


def test_resample_scores_on_the_grid_of_the_reference(maps: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, references = maps
    finer = np.zeros((32, 48, 48), dtype=np.uint8)  # axes Z, X, Y of the reference, X reversed
    finer[8:28, 9:39, 9:39] = 1  # voxels 4 to 13 along Z, each cut in two; 3 to 12 along X and Y, in three
    to_reference = np.array([[0, -1 / 3, 0, 15 + 1 / 3], [0, 0, 1 / 3, -1 / 3], [1 / 2, 0, 0, -1 / 4], [0, 0, 0, 1]])
    write_volume(predictions / "shifted.nii.gz", finer, SPACING @ to_reference)
    failed = hybridseg("evaluate", predictions / "shifted.nii.gz", references)
    assert (failed.code, failed.out) == (1, "0 of 1 cases scored\n")
    assert "shape (32, 48, 48) instead of (16, 16, 16): must be on the grid of" in failed.err
    resampled = hybridseg("evaluate", *maps, "--resample", "--json")
    assert resampled.code == 0
    same, shifted = json.loads(resampled.out)["scores"]
    assert (same["dice"], shifted["dice"], shifted["hd95"], shifted["prediction_ml"]) == (1.0, 0.9, 3.0, 9.0)


def test_second_run_into_the_same_folder_ends_at_once(maps: tuple[Path, Path], tmp_path: Path) -> None:
    scores = tmp_path / "scores"
    scores.mkdir()
    with folder_lock(scores, "output", LOCK):
        result = hybridseg("evaluate", *maps, "-o", scores)
    assert (result.code, result.out) == (2, "")
    assert f"hybridseg evaluate: output: {scores}: in use by process {os.getpid()} on " in result.err
    assert hybridseg("evaluate", *maps, "-o", scores).code == 0
    assert sorted(path.name for path in scores.iterdir() if path.suffix == ".lock") == []


def test_references_without_a_prediction_are_reported(maps: tuple[Path, Path]) -> None:
    result = hybridseg("evaluate", *maps)
    assert result.code == 0
    message = "1 of 3 references have no prediction and are left out, such as unused (--complete counts them as failed)"
    assert result.err == f"hybridseg evaluate: {message}\n"


def test_complete_fails_if_a_prediction_is_missing(maps: tuple[Path, Path]) -> None:
    result = hybridseg("evaluate", *maps, "--complete")
    assert result.code == 1
    assert result.out.endswith("2 of 3 cases scored\n")
    missing = maps[1] / "unused.nii.gz"
    rule = "every reference needs a prediction of its name"
    assert result.err == f"hybridseg evaluate: {missing}: no prediction named unused: {rule}\n"
    (maps[1] / "unused.nii.gz").unlink()
    assert hybridseg("evaluate", *maps, "--complete").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tolerance", "0"], "tolerance: 0.0: must be positive and finite"),
        (["--tolerance", "inf"], "tolerance: inf: must be positive and finite"),
        (["--labels", "liver"], "labels: 'liver': must be a number from 1, or NUMBER=NAME"),
        (["--labels", "0"], "labels: '0': must be a number from 1"),
        (["--labels", "1=a", "01=b"], "labels: label 1: must be given once"),
        (["--labels", "1=a", "2=a"], "labels: name a: must be given once"),
        (["--labels", "1=a", "2=b", "--ignore", "2"], "ignore: 2: must not be among the labels to score"),
        (["--bundle", "phantom_ct_segmentation", "--ignore", "2"], "ignore: 2: must not be among the labels to score"),
        (
            ["--labels", "lung", "--bundle", "hippocampus_mri_segmentation"],
            "'lung': must be one of anterior",
        ),
        (["--bundle", "liver"], "must be the name of a shipped bundle"),
    ],
)
def test_invalid_option_is_one_line(maps: tuple[Path, Path], words: list[str], message: str) -> None:
    result = hybridseg("evaluate", *maps, *words)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert result.err.count("\n") == 1


def test_missing_folder_is_an_error(maps: tuple[Path, Path], tmp_path: Path) -> None:
    result = hybridseg("evaluate", maps[0], tmp_path / "nowhere")
    assert result.code == 2
    assert "nowhere: does not exist" in result.err


def test_handler_writes_the_same_scores(
    maps: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert hybridseg("evaluate", *maps, "-o", tmp_path / "command", "--labels", "1=cube").code == 0
    load = LoadVolumed(["pred", "label"], label_keys=["pred", "label"])
    cases = [load({"pred": maps[0] / name, "label": maps[1] / name}) for name in ("same.nii.gz", "shifted.nii.gz")]
    evaluator = Engine(lambda _, case: [case])
    ScoreCases({"1": "cube"}, tmp_path / "handler").attach(evaluator)
    with caplog.at_level("INFO", "hybridseg.evaluation"):
        evaluator.run(cases)
        evaluator.run(cases)  # a second run starts again
    assert "0.950 ± 0.050" in caplog.messages[-1]
    for name in ("scores.csv", "scores.json", "summary.json"):
        assert (tmp_path / "handler" / name).read_text() == (tmp_path / "command" / name).read_text()


def test_label_without_annotation_is_left_out(maps: tuple[Path, Path]) -> None:
    predictions, references = maps
    labels = np.zeros((16, 16, 16), dtype=np.uint8)
    labels[3:13, 3:13, 3:13] = 1
    labels[:, :, 13:] = 4  # where the shifted cube is wrong
    write_volume(references / "shifted.nii.gz", labels, SPACING)
    result = hybridseg("evaluate", predictions, references, "--ignore", "4", "--json")
    dice = {score["case"]: score["dice"] for score in json.loads(result.out)["scores"]}
    assert dice == {"same": 1.0, "shifted": pytest.approx(2 * 9 / 19, abs=1e-6)}
    assert "ignore: 0: must be at least 1" in hybridseg("evaluate", *maps, "--ignore", "0").err


def test_bundle_that_changed_since_the_prediction_is_warned_of(bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / bundle.name)
    image, out = write_volume(tmp_path / "images" / "one.nii.gz"), tmp_path / "out"
    assert predict(copy, out, image).code == 0
    assert hybridseg("evaluate", out, out).err == ""
    config = copy / "configs" / "inference.json"
    names = json.loads(config.read_text())
    config.write_text(json.dumps({**names, "label_names": dict.fromkeys(names["label_names"], "other")}))
    expected = f"hybridseg evaluate: {config}: changed since it made the label maps: names of labels and regions may"
    assert hybridseg("evaluate", out, out).err.startswith(expected)
