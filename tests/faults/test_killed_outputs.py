"""A killed `evaluate`, `report`, `export` or `pack` leaves a whole file; the next removes what else is left."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch
from torch import nn

from hybridseg.app.bundling import pack_bundle
from hybridseg.app.evaluation.metrics import LabelScore
from hybridseg.app.evaluation.tables import write_reports
from hybridseg.app.inference.export import export_network

from ..app.conftest import bundle, cohort, hybridseg
from ..kills import kill_often

__all__ = ["bundle", "cohort"]

SCORE = LabelScore(
    case="good",
    label=1,
    name="one",
    outcome="found",
    reference_voxels=10,
    prediction_voxels=10,
    reference_ml=1.0,
    prediction_ml=1.0,
    volume_difference_ml=0.0,
    dice=0.5,
    surface_dice=0.5,
    hd95=1.0,
    assd=1.0,
)

Write = Callable[[Path, int], None]
"""Writes into a folder, something else in every other turn."""


def evaluate(folder: Path, turn: int) -> None:
    """Write the scores of one case or of many."""
    cases = range((1, 400)[turn % 2])
    write_reports([replace(SCORE, case=f"case{index}") for index in cases], folder / "out", tolerance=1.0)


def report(folder: Path, turn: int) -> None:
    """Write a page."""
    words = ("-o", folder / "out" / "page.html", "--title", ("first", "second")[turn % 2])
    assert hybridseg("report", folder / "labels", *words).code == 0


def export(folder: Path, turn: int) -> None:
    """Write a network."""
    export_network(nn.Conv3d(1, 1 + turn % 2, 3, padding=1), folder / "out" / "net.ts", "torchscript", (1, 8, 8, 8))


def pack(folder: Path, turn: int) -> None:
    """Write one of two bundles."""
    pack_bundle(folder / ("first", "second")[turn % 2] / "mine", folder / "out" / "bundle.zip")


def write_forever(write: Write, folder: Path) -> None:
    """Write one turn after the other."""
    for turn in count():
        write(folder, turn)


def check_scores(out: Path) -> None:
    """Check that the files are whole, and that a summary is of the scores beside it."""
    scores = json.loads((out / "scores.json").read_text())
    if (out / "summary.json").is_file():
        assert json.loads((out / "summary.json").read_text())["cases"] == len(scores)


def check_page(out: Path) -> None:
    """Check that the page ends."""
    assert (out / "page.html").read_text(encoding="utf-8").rstrip().endswith("</html>")


def check_network(out: Path) -> None:
    """Check that the network loads."""
    torch.jit.load(out / "net.ts")


def check_zip(out: Path) -> None:
    """Check that no member of the zip is damaged."""
    with zipfile.ZipFile(out / "bundle.zip") as archive:
        assert archive.testzip() is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "check"),
    [(evaluate, check_scores), (report, check_page), (export, check_network), (pack, check_zip)],
)
def test_killed_command_leaves_a_whole_file(
    write: Write, check: Callable[[Path], None], cohort: Path, bundle: Path
) -> None:
    for name in ("first", "second"):
        shutil.copytree(bundle, cohort / name / "mine")
    (cohort / "second" / "mine" / "docs" / "README.md").write_text("another")
    write(cohort, 1)
    for _ in kill_often(write_forever, write, cohort, times=8, seconds=2.0):
        check(cohort / "out")
        assert len([*(cohort / "out").glob(".*.part*")]) <= 1
