"""Bodies are rendered from the side named, and hide what is behind them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import image as picture_files
from matplotlib.colors import rgb_to_hsv, to_rgb
from monai.data import MetaTensor

from hybridseg.app.figures.planes import PLANES, Plane
from hybridseg.app.figures.surfaces import draw_surfaces, render
from hybridseg.transforms.structures import label_colours

NAMES = {1: "liver", 2: "spleen"}


def hue(label: int) -> float:
    return float(rgb_to_hsv(to_rgb(label_colours(NAMES.values())[label - 1]))[0])


@pytest.mark.parametrize(
    ("plane", "near"), [(PLANES[0], 0), (PLANES[1], -1), (PLANES[2], 0)], ids=lambda value: str(value)
)
def test_nearer_body_hides_the_farther(plane: Plane, near: int) -> None:
    masks = {label: np.zeros((24, 26, 28), dtype=bool) for label in NAMES}
    for label, end in ((1, near), (2, -1 - near)):
        np.moveaxis(masks[label], plane.axis, 0)[end, 6:18, 6:18] = True
    np.moveaxis(masks[2], plane.axis, 0)[-1 - near, 6:22, 6:18] = True  # the farther one protrudes on one side
    picture = render(masks.values(), label_colours(NAMES.values()), plane)
    hues = rgb_to_hsv(picture[picture.any(axis=2)])[:, 0]  # the lighting changes hues slightly
    orange = np.abs(hues - hue(1)) < np.abs(hues - hue(2))
    assert (orange.sum(), (~orange).sum()) == (12 * 12, 4 * 12)


def test_right_is_on_the_left_for_any_axis_direction(tmp_path: Path) -> None:
    labels = torch.zeros(1, 30, 30, 30)
    labels[:, 2:10, 10:20, 10:20] = 1
    sides = []
    for sign in (1.0, -1.0):
        affine = torch.diag(torch.tensor([sign, 1.0, 1.0, 1.0], dtype=torch.float64))
        path = tmp_path / "pictures" / "body.png"
        draw_surfaces(path, labels=MetaTensor(labels, affine=affine), label_names={1: "liver"})
        picture = picture_files.imread(path)[..., :3]
        front = rgb_to_hsv(picture[: 9 * len(picture) // 10, picture.shape[1] // 3 : 2 * picture.shape[1] // 3])
        orange = (np.abs(front[..., 0] - hue(1)) < 0.05) & (front[..., 1:].min(axis=2) > 0.3)
        sides.append(np.nonzero(orange)[1].mean() / front.shape[1])
    assert sides[0] == pytest.approx(0.8, abs=0.08)  # low indices are the patient's left
    assert sides[1] == pytest.approx(0.2, abs=0.08)
    assert [entry.name for entry in path.parent.iterdir()] == ["body.png"]


def test_invalid_labels_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^labels: shape \(2, 4, 4, 4\): must be \(1, X, Y, Z\)$"):
        draw_surfaces(tmp_path / "a.png", labels=MetaTensor(torch.zeros(2, 4, 4, 4)), label_names=NAMES)
    with pytest.raises(ValueError, match=r"^label_names: none: at least one label is needed$"):
        draw_surfaces(tmp_path / "a.png", labels=MetaTensor(torch.zeros(1, 4, 4, 4)), label_names={})
