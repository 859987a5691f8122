"""`hybridseg evaluate` measures each prediction against the reference of its name."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from ignite.engine import Engine

from hybridseg.app.evaluation.handler import ScoreCases
from hybridseg.transforms import LoadVolumed

from ..conftest import SPACING, hybridseg, write_volume


@pytest.fixture
def maps(tmp_path: Path) -> tuple[Path, Path]:
    """Folders of two predictions and three references: `same` agrees, `shifted` is off by a voxel of 3 mm."""
    reference = np.zeros((16, 16, 16), dtype=np.uint8)
    reference[3:13, 3:13, 3:13] = 1
    for case in ("same", "shifted", "unused"):
        write_volume(tmp_path / "references" / f"{case}.nii.gz", reference, SPACING)
    write_volume(tmp_path / "predictions" / "same.nii.gz", reference, SPACING)
    write_volume(tmp_path / "predictions" / "shifted.nii.gz", np.roll(reference, 1, 2), SPACING)
    return tmp_path / "predictions", tmp_path / "references"


def test_a_table_of_hand_computed_numbers(maps: tuple[Path, Path]) -> None:
    outcome = hybridseg("evaluate", *maps, "--labels", "1=cube", "--tolerance", "3")
    assert outcome.code == 0
    header, units, means, intervals, *notes = outcome.out.splitlines()
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
    assert notes == ["in brackets: 95 % confidence interval of the mean, by resampling cases", "2 of 2 cases measured"]
    assert {len(line) for line in (header, units, means, intervals)} == {len(header)}


def test_the_table_of_long_names_and_large_numbers_fits_a_wide_terminal(tmp_path: Path) -> None:
    reference = np.zeros((60, 60, 60), dtype=np.uint8)
    reference[5:30, 5:30, 5:30] = 1
    for case, shift in (("one", 1), ("two", 25)):
        write_volume(tmp_path / "references" / f"{case}.nii.gz", reference, SPACING)
        write_volume(tmp_path / "predictions" / f"{case}.nii.gz", np.roll(reference, shift, 2), SPACING)
    outcome = hybridseg("evaluate", tmp_path / "predictions", tmp_path / "references", "--labels", "1=kidney_right")
    assert outcome.code == 0
    assert max(map(len, outcome.out.splitlines())) <= 125


def test_one_case_has_no_interval(maps: tuple[Path, Path]) -> None:
    outcome = hybridseg("evaluate", maps[0] / "shifted.nii.gz", maps[1], "--labels", "1=cube")
    assert (outcome.code, outcome.err) == (0, "")
    assert len(outcome.out.splitlines()) == 4
    assert "0.900 ± 0.000" in outcome.out
    assert "[" not in outcome.out


def test_files_and_json_hold_the_same_scores(maps: tuple[Path, Path], tmp_path: Path) -> None:
    outcome = hybridseg("evaluate", *maps, "-o", tmp_path / "out", "--json")
    printed = json.loads(outcome.out)
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


def test_a_case_whose_name_is_no_utf_8_is_in_every_file(maps: tuple[Path, Path], tmp_path: Path) -> None:
    for folder in maps:
        (folder / "same.nii.gz").rename(folder / os.fsdecode(b"caf\xe9.nii.gz"))
    outcome = hybridseg("evaluate", *maps, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert "\ncaf\\udce9,1," in (tmp_path / "out" / "scores.csv").read_text()
    assert json.loads((tmp_path / "out" / "scores.json").read_text())[0]["case"] == "caf\udce9"


def test_labels_are_called_as_the_bundle_calls_them(maps: tuple[Path, Path]) -> None:
    outcome = hybridseg("evaluate", *maps, "--bundle", "hippocampus_mri_segmentation", "--json")
    first, second = json.loads(outcome.out)["labels"]
    assert (first["name"], first["found"]) == ("anterior", 2)
    assert (second["name"], second["absent"], second["dice"]["mean"]) == ("posterior", 2, None)


def test_a_bundle_that_does_not_name_its_labels_is_refused(maps: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("metadata.json", "inference.json"):
        (tmp_path / "zoo" / "configs").mkdir(parents=True, exist_ok=True)
        (tmp_path / "zoo" / "configs" / name).write_text("{}")
    outcome = hybridseg("evaluate", *maps, "--bundle", tmp_path / "zoo")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.endswith("configs/inference.json: no label_names: every label's number needs a name there\n")


def test_an_empty_prediction_is_a_miss(maps: tuple[Path, Path]) -> None:
    write_volume(maps[0] / "same.nii.gz", np.zeros((16, 16, 16), dtype=np.uint8), SPACING)
    outcome = hybridseg("evaluate", *maps)
    assert outcome.code == 0
    assert "0.450 ± 0.450" in outcome.out
    assert "missed or false labels count 0" in outcome.out


def test_what_cannot_be_compared_is_refused_and_the_others_are_measured(
    maps: tuple[Path, Path], tmp_path: Path
) -> None:
    predictions, references = maps
    labels = np.ones((16, 16, 16), dtype=np.uint8)
    moved = SPACING.copy()
    moved[0, 3] = 5.0
    for case, voxels, affine in (("shape", labels[:-1], SPACING), ("place", labels, moved), ("alone", labels, SPACING)):
        write_volume(predictions / f"{case}.nii.gz", voxels, affine)
        if case != "alone":
            write_volume(references / f"{case}.nii.gz", labels, SPACING)
    write_volume(predictions / "unused.nii.gz", labels + 0.5, SPACING)
    outcome = hybridseg("evaluate", predictions, references, "-o", tmp_path / "out")
    assert outcome.code == 1
    assert outcome.out.endswith("2 of 6 cases measured\n")
    assert "(--complete" not in outcome.err  # each reference has a prediction, if not a good one
    alone, place, shape, unused = sorted(outcome.err.splitlines())
    assert "alone.nii.gz: no reference named alone: every prediction needs a reference of its name" in alone
    assert "place.nii.gz: affine that places voxels up to 5 mm elsewhere: must be on the grid of" in place
    assert "shape.nii.gz: shape (15, 16, 16) instead of (16, 16, 16): must be on the grid of" in shape
    assert shape.endswith(", or put there by --resample")
    assert "labels must be integers" in unused


def test_a_prediction_on_another_grid_is_put_onto_that_of_the_reference_when_asked(
    maps: tuple[Path, Path], tmp_path: Path
) -> None:
    predictions, references = maps
    finer = np.zeros((32, 48, 48), dtype=np.uint8)  # axes Z, X, Y of the reference, X turned round
    finer[8:28, 9:39, 9:39] = 1  # voxels 4 to 13 along Z, each cut in two; 3 to 12 along X and Y, in three
    to_reference = np.array([[0, -1 / 3, 0, 15 + 1 / 3], [0, 0, 1 / 3, -1 / 3], [1 / 2, 0, 0, -1 / 4], [0, 0, 0, 1]])
    write_volume(predictions / "shifted.nii.gz", finer, SPACING @ to_reference)
    refused = hybridseg("evaluate", predictions / "shifted.nii.gz", references)
    assert (refused.code, refused.out) == (1, "0 of 1 cases measured\n")
    assert "shape (32, 48, 48) instead of (16, 16, 16): must be on the grid of" in refused.err
    resampled = hybridseg("evaluate", *maps, "--resample", "--json")
    assert resampled.code == 0
    same, shifted = json.loads(resampled.out)["scores"]
    assert (same["dice"], shifted["dice"], shifted["hd95"], shifted["prediction_ml"]) == (1.0, 0.9, 3.0, 9.0)


def test_references_without_a_prediction_are_told(maps: tuple[Path, Path]) -> None:
    outcome = hybridseg("evaluate", *maps)
    assert outcome.code == 0
    told = "1 of 3 references have no prediction and are left out, such as unused (--complete counts them as failed)"
    assert outcome.err == f"hybridseg evaluate: {told}\n"


def test_predictions_that_must_be_complete_fail_where_one_is_missing(maps: tuple[Path, Path]) -> None:
    outcome = hybridseg("evaluate", *maps, "--complete")
    assert outcome.code == 1
    assert outcome.out.endswith("2 of 3 cases measured\n")
    missing = maps[1] / "unused.nii.gz"
    rule = "every reference needs a prediction of its name"
    assert outcome.err == f"hybridseg evaluate: {missing}: no prediction named unused: {rule}\n"
    (maps[1] / "unused.nii.gz").unlink()
    assert hybridseg("evaluate", *maps, "--complete").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tolerance", "0"], "tolerance: 0.0: must be a length above 0 mm"),
        (["--tolerance", "inf"], "tolerance: inf: must be a length above 0 mm"),
        (["--labels", "liver"], "labels: 'liver': must be a number from 1, or NUMBER=NAME"),
        (["--labels", "0"], "labels: '0': must be a number from 1"),
        (["--labels", "1", "--bundle", "phantom_ct_segmentation"], "must not be given beside a bundle"),
        (["--bundle", "liver"], "must be the name of a shipped bundle"),
    ],
)
def test_wrong_usage_is_one_line(maps: tuple[Path, Path], words: list[str], message: str) -> None:
    outcome = hybridseg("evaluate", *maps, *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_missing_folder_is_wrong_usage(maps: tuple[Path, Path], tmp_path: Path) -> None:
    outcome = hybridseg("evaluate", maps[0], tmp_path / "nowhere")
    assert outcome.code == 2
    assert "nowhere: does not exist" in outcome.err


def test_the_handler_of_a_bundle_writes_the_same_scores(
    maps: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert hybridseg("evaluate", *maps, "-o", tmp_path / "command", "--labels", "1=cube").code == 0
    load = LoadVolumed(["pred", "label"], label_keys=["pred", "label"])
    cases = [load({"pred": maps[0] / name, "label": maps[1] / name}) for name in ("same.nii.gz", "shifted.nii.gz")]
    evaluator = Engine(lambda _, case: [case])
    ScoreCases({"1": "cube"}, tmp_path / "handler").attach(evaluator)
    with caplog.at_level("INFO", "hybridseg.evaluation"):
        evaluator.run(cases)
        evaluator.run(cases)  # a second run begins anew
    assert "0.950 ± 0.050" in caplog.messages[-1]
    for name in ("scores.csv", "scores.json", "summary.json"):
        assert (tmp_path / "handler" / name).read_text() == (tmp_path / "command" / name).read_text()
