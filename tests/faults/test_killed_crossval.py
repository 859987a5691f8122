"""A cross-validation that is killed at each of its stages and repeated ends like one that was never interrupted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hybridseg.networks import create_model

from ..app.commands.test_crossval import NAMES, dataset, trainable
from ..app.conftest import bundle, hybridseg, voxels_of
from .test_concurrency import start, wait

__all__ = ["bundle", "dataset", "trainable"]

FOLDS = 2
STAGES = ("folds/{}/fold_0/predictions/run.json", "folds/{}/fold_1/cases.json", "predictions/{}", "{}", "crossval.json")
"""What each killed run has just written, for the name of the bundle."""


def finish_trainings(words: list[str | Path], output: Path, name: str) -> None:
    """Put what trainings leave into the folder of a cross-validation."""
    assert hybridseg(*words, "-o", output, "--print-commands").code == 0
    for fold in range(FOLDS):
        folder = output / "folds" / name / f"fold_{fold}"
        folder.mkdir(parents=True)
        (folder / "trained.json").write_text(json.dumps({"options": []}))
        torch.manual_seed(fold)
        torch.save(create_model("tiny", in_channels=1, out_channels=3).state_dict(), folder / "model.pt")


@pytest.mark.slow
def test_crossval_killed_at_each_stage_equals_the_other(trainable: Path, dataset: Path, tmp_path: Path) -> None:
    whole, killed, name = tmp_path / "whole", tmp_path / "killed", trainable.name
    words: list[str | Path] = ["crossval", trainable, dataset, "--folds", str(FOLDS), "--device", "cpu"]
    for output in (whole, killed):
        finish_trainings(words, output, name)
    for stage in STAGES:
        with start(*words, "-o", killed) as process:
            wait(process, (killed / stage.format(name)).exists)
            process.kill()
    for output in (whole, killed):
        result = hybridseg(*words, "-o", output)
        assert result.code == 0, result.err
    assert not [path for path in killed.rglob(".*") if path.name != ".hybridseg.lock"]
    for file in ("split.json", "scores.csv", "summary.json", "crossval.json", f"{name}/configs/inference.json"):
        assert (killed / file).read_text() == (whole / file).read_text().replace(str(whole), str(killed)), file
    for case in NAMES:
        first, second = (voxels_of(output / "predictions" / name / f"{case}.nii.gz") for output in (killed, whole))
        np.testing.assert_array_equal(first, second)
    ours, theirs = (torch.load(output / name / "models" / "model.pt", weights_only=True) for output in (killed, whole))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in ours.items())
