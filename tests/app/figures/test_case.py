"""A picture shows the patient the right way round, and is written whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import image as picture_files
from monai.data import MetaTensor
from numpy.typing import NDArray

from hybridseg.app.figures.case import draw_case
from hybridseg.app.figures.panels import best_slice
from hybridseg.app.figures.planes import PLANES, Plane

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
    volumes = {"image": image, "truth": labels, "prediction": labels.roll(1, 2)}
    return {name: MetaTensor(volume, affine=affine) for name, volume in volumes.items()}


def test_a_picture_is_written(case: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "pictures" / "case.png"
    draw_case(path, **case, label_names=NAMES, dice={1: 0.9, 2: None}, title="case")
    pixels = picture_files.imread(path)
    assert min(pixels.shape[:2]) > 500
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 1000
    assert [entry.name for entry in path.parent.iterdir()] == ["case.png"]


def test_a_prediction_without_labels_and_one_label_can_be_drawn(case: dict[str, Any], tmp_path: Path) -> None:
    case["prediction"] = case["prediction"] * 0
    draw_case(tmp_path / "empty.png", **case, label_names={1: "liver"}, dice={}, window=(0, 50))
    assert (tmp_path / "empty.png").stat().st_size > 10_000


def test_a_prediction_is_drawn_without_a_truth(case: dict[str, Any], tmp_path: Path) -> None:
    draw_case(tmp_path / "three.png", **case, label_names=NAMES)
    del case["truth"]
    draw_case(tmp_path / "two.png", **case, label_names=NAMES)
    three, two = (picture_files.imread(tmp_path / name) for name in ("three.png", "two.png"))
    assert two.shape[0] / two.shape[1] < three.shape[0] / three.shape[1]


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.name)
def test_the_sides_written_on_a_plane_are_where_they_are(plane: Plane) -> None:
    ends = {"R": (0, -1), "L": (0, 0), "A": (1, -1), "P": (1, 0), "S": (2, -1), "I": (2, 0)}
    edges: list[Any] = [np.s_[:, 0], np.s_[:, -1], np.s_[0], np.s_[-1]]  # left, right, bottom, top
    for letter, edge in zip(plane.sides, edges, strict=True):
        volume: NDArray[np.float32] = np.zeros((4, 5, 6), dtype=np.float32)
        axis, end = ends[letter]
        np.moveaxis(volume, axis, 0)[end] = 1
        assert plane.cut(volume, 1)[edge].all(), letter


def test_the_patients_right_is_on_the_left() -> None:
    assert [plane.sides[:2] for plane in PLANES] == ["RL", "RL", "AP"]


def test_the_slice_shows_all_labels_rather_than_the_largest_one() -> None:
    labels = np.zeros((20, 20, 20), dtype=np.float32)
    labels[:, :, 2:8] = 1
    labels[0, 0, 7] = 2
    assert best_slice(labels, 2, NAMES) == 7
    assert best_slice(labels * 0, 2, NAMES) == 10
