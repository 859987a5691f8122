"""The picture of a case is written whole and has the patient's right on the left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import image as picture_files
from monai.data import MetaTensor

from hybridseg.app.figures.case import draw_case

NAMES = {1: "liver", 2: "spleen"}


@pytest.fixture
def case() -> dict[str, Any]:
    """An image and labels (1, 30, 20, 10) of voxels 1 x 2 x 3 mm, whose first axis runs to the left."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.zeros(1, 30, 20, 10)
    labels[:, 5:12, 4:12, 2:8] = 1
    labels[:, 18:24, 8:15, 3:6] = 2
    image = 50 * labels + torch.randn(labels.shape, generator=generator)
    affine = torch.diag(torch.tensor([-1.0, 2.0, 3.0, 1.0], dtype=torch.float64))
    volumes = {"image": image, "reference": labels, "prediction": labels.roll(1, 2)}
    return {name: MetaTensor(volume, affine=affine) for name, volume in volumes.items()}


@pytest.mark.parametrize("title", ["$x^$", "a_{b}", "\udcff", "\n", "x" * 300])
def test_any_title_is_drawn(title: str, case: dict[str, Any], tmp_path: Path) -> None:
    draw_case(tmp_path / "case.png", image=case["image"], prediction=case["prediction"], label_names=NAMES, title=title)
    assert [entry.name for entry in tmp_path.iterdir()] == ["case.png"]


def test_picture_is_written(case: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "pictures" / "case.png"
    draw_case(path, **case, label_names=NAMES, dice={1: 0.9, 2: None}, title="case")
    pixels = picture_files.imread(path)
    assert min(pixels.shape[:2]) > 500
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 1000
    assert [entry.name for entry in path.parent.iterdir()] == ["case.png"]


def test_empty_prediction_and_single_label_can_be_drawn(case: dict[str, Any], tmp_path: Path) -> None:
    case["prediction"] = case["prediction"] * 0
    draw_case(tmp_path / "empty.png", **case, label_names={1: "liver"}, dice={}, window=(0, 50))
    assert (tmp_path / "empty.png").stat().st_size > 10_000


def test_without_reference_there_are_two_rows(case: dict[str, Any], tmp_path: Path) -> None:
    draw_case(tmp_path / "three.png", **case, label_names=NAMES)
    del case["reference"]
    draw_case(tmp_path / "two.png", **case, label_names=NAMES)
    three, two = (picture_files.imread(tmp_path / name) for name in ("three.png", "two.png"))
    assert two.shape[0] / two.shape[1] < three.shape[0] / three.shape[1]
