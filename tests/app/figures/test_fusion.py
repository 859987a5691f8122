"""One image is drawn in colour over another, as opaque as its values are high, with outlines of the labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from monai.data import MetaTensor

from hybridseg.app.figures.fusion import OPACITY, draw_fusion
from hybridseg.transforms.structures import label_colours

SHAPE = (12, 10, 8)
AFFINE = torch.diag(torch.tensor([2.0, 2.0, 4.0, 1.0], dtype=torch.float64))
NAMES = {1: "GTV_Mass", 2: "node"}


def volume(values: torch.Tensor) -> MetaTensor:
    return MetaTensor(values[None], affine=AFFINE)


@pytest.fixture
def labels() -> MetaTensor:
    values = torch.zeros(SHAPE)
    values[6:9, 2:5, 3:6] = 1
    return volume(values)


def draw(overlay: MetaTensor, labels: MetaTensor | None = None, highest: float = 10) -> Figure:
    grey = volume(torch.rand(SHAPE))
    names = None if labels is None else NAMES
    return draw_fusion(grey, overlay, labels=labels, label_names=names, window=(0, 1), highest=highest, name="SUV")


def test_opacity_grows_with_the_value(labels: MetaTensor) -> None:
    values = torch.zeros(SHAPE)
    values[7, 3, 3] = 5
    values[8, 3, 3] = 20
    axial = draw(volume(values), labels).axes[0].images[1]
    drawn, alpha = np.asarray(axial.get_array()), np.asarray(axial.get_alpha())
    assert alpha[drawn == 0].max() == 0
    assert (alpha[drawn == 5].item(), alpha[drawn == 20].item()) == (OPACITY / 2, OPACITY)


def test_planes_go_through_the_labels_and_outline_them(labels: MetaTensor) -> None:
    values = torch.zeros(SHAPE)
    values[6, 2, 3] = 1  # the first of the label's slices, which are equal
    figure = draw(volume(values), labels)
    *planes, bar = figure.axes
    for axes in planes:
        assert np.asarray(axes.images[1].get_array()).max() == 1
        (outline,) = (part for part in axes.collections if isinstance(part, ContourSet))
        assert to_hex(np.asarray(outline.get_edgecolor())[0]) == label_colours(NAMES.values())[0]
    assert [axes.get_title() for axes in planes] == ["axial", "coronal", "sagittal"]
    assert {"GTV Mass", "node"} <= {text.get_text() for text in planes[0].texts}
    assert bar.get_ylabel() == "SUV"
    (outline,) = (part for part in planes[0].collections if isinstance(part, ContourSet))
    low, high = (np.array([getattr(path.get_extents(), end) for path in outline.get_paths()]) for end in ("min", "max"))
    np.testing.assert_allclose([low[0], high[0]], [[6, 10], [12, 16]], atol=0.3)  # centred; right is left


def test_without_labels_the_planes_go_through_the_middle() -> None:
    values = torch.zeros(SHAPE)
    values[6, 5, 4] = 1
    *planes, _ = draw(volume(values)).axes
    assert [np.asarray(axes.images[1].get_array()).max() for axes in planes] == [1, 1, 1]
    assert not any(isinstance(part, ContourSet) for axes in planes for part in axes.collections)


def test_overlay_on_another_grid_is_an_error(labels: MetaTensor) -> None:
    with pytest.raises(ValueError, match=r"overlay: .*: must be on the image's grid"):
        draw(volume(torch.zeros(6, 5, 8)), labels)
    with pytest.raises(ValueError, match=r"highest: 0: must be above 0"):
        draw(volume(torch.zeros(SHAPE)), labels, highest=0)
