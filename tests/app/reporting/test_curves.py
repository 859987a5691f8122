"""Curves are read from the event files of a training."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from torch.utils.tensorboard import SummaryWriter

from hybridseg.app.reporting.curves import Curve, read_curves


def write_events(folder: Path, values: Mapping[str, Mapping[int, float]], start: int = 0) -> None:
    """Write an event file; `start` numbers the starts of a resumed training."""
    with SummaryWriter(str(folder)) as writer:
        for tag, points in values.items():
            for step, value in points.items():
                writer.add_scalar(tag, value, step, walltime=1000 * start + step)


def test_loss_comes_first_and_loss_per_iteration_is_left_out(tmp_path: Path) -> None:
    write_events(tmp_path, {"train_loss": {1: 3.0, 2: 2.0}, "loss": {1: 2.5}})
    write_events(tmp_path, {"val_mean_dice": {1: 0.5}}, start=1)
    assert read_curves(tmp_path) == [Curve("loss", "epoch", ((1, 2.5),)), Curve("val_mean_dice", "epoch", ((1, 0.5),))]


def test_loss_per_iteration_is_used_if_it_is_the_only_one(tmp_path: Path) -> None:
    write_events(tmp_path, {"train_loss": {1: 3.0, 2: 2.0}})
    assert [(curve.name, curve.unit) for curve in read_curves(tmp_path)] == [("train_loss", "iteration")]


def test_resumed_training_replaces_steps_after_the_checkpoint(tmp_path: Path) -> None:
    write_events(tmp_path, {"loss": {1: 4.0, 2: 3.0, 3: 2.0}})
    write_events(tmp_path, {"loss": {2: 2.5}}, start=1)
    assert read_curves(tmp_path)[0].points == ((1, 4.0), (2, 2.5))


def test_values_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    write_events(tmp_path, {"loss": {1: 4.0, 2: math.nan, 3: math.inf}, "dice": {1: math.nan}})
    assert [(curve.name, curve.points) for curve in read_curves(tmp_path)] == [("loss", ((1, 4.0),))]


@pytest.mark.parametrize(("name", "message"), [("nowhere", "must be the folder of a training"), ("", "no curves in")])
def test_folder_without_curves_is_an_error(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^run_dir: {re.escape(str(tmp_path / name))}: {message}"):
        read_curves(tmp_path / name)


def test_curve_as_text() -> None:
    curve = Curve("dice", "epoch", ((5, 0.25), (10, 0.75), (15, 0.5)))
    assert str(curve) == (
        "dice: from 0.25 at epoch 5 to 0.5 at epoch 15; lowest 0.25 at epoch 5, highest 0.75 at epoch 10."
    )
    assert str(Curve("dice", "epoch", ((5, 0.25),))) == "dice: 0.25 at epoch 5."
