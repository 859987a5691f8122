"""The handler scores label maps on the grid of their reference only."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor

from hybridseg.app.evaluation.handler import ScoreCases


def test_labels_on_another_grid_are_not_scored(tmp_path):
    label = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4), meta={"filename_or_obj": "case.nii.gz"})
    moved = torch.eye(4)
    moved[0, 3] = 40
    evaluator: Any = Engine(
        lambda engine, batch: [{"label": label, "pred": MetaTensor(label.as_tensor(), affine=moved)}]
    )
    ScoreCases({1: "organ"}, tmp_path).attach(evaluator)
    with pytest.raises(ValueError, match=r"case.nii.gz: affine that places voxels .* must be on the grid of its image"):
        evaluator.run([0])
