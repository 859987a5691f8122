"""Bodies are seen from the side that is told, and hide what is behind them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import rgb_to_hsv, to_rgb
from monai.data import MetaTensor

from hybridseg.app.figure import PLANES, colours
from hybridseg.app.surfaces import draw_surfaces, view

NAMES = {1: "liver", 2: "spleen"}


def hue(label: int) -> float:
    return float(rgb_to_hsv(to_rgb(colours(2)[label - 1]))[0])


@pytest.mark.parametrize(
    ("plane", "near"), [(PLANES[0], 0), (PLANES[1], -1), (PLANES[2], 0)], ids=lambda value: str(value)
)
def test_of_two_bodies_the_nearer_is_seen(plane, near):
    solids = {label: np.zeros((24, 26, 28), dtype=bool) for label in NAMES}
    for label, end in ((1, near), (2, -1 - near)):
        np.moveaxis(solids[label], plane.axis, 0)[end, 6:18, 6:18] = True
    np.moveaxis(solids[2], plane.axis, 0)[-1 - near, 6:22, 6:18] = True  # the farther one stands out on one side
    picture = view(solids, plane)
    bodies = rgb_to_hsv(picture[picture.any(axis=2)])[:, 0]  # light changes a hue a little
    orange = np.abs(bodies - hue(1)) < np.abs(bodies - hue(2))
    assert (orange.sum(), (~orange).sum()) == (12 * 12, 4 * 12)


def test_the_patients_right_is_on_the_left_whatever_the_arrays_axes():
    labels = torch.zeros(1, 30, 30, 30)
    labels[:, 2:10, 10:20, 10:20] = 1
    pictures = []
    for sign in (1.0, -1.0):
        affine = torch.diag(torch.tensor([sign, 1.0, 1.0, 1.0], dtype=torch.float64))
        figure = draw_surfaces(MetaTensor(labels, affine=affine), NAMES)
        FigureCanvasAgg(figure).draw()
        pictures.append(np.asarray(figure.axes[1].images[0].get_array()))
    left, right = (picture.sum(axis=(0, 2)) for picture in pictures)
    assert left[: len(left) // 2].sum() == 0  # low indices are the patient's left, on the right of the picture
    assert right[len(right) // 2 :].sum() == 0


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match=r"^labels: shape \(2, 4, 4, 4\): must be \(1, X, Y, Z\)$"):
        draw_surfaces(MetaTensor(torch.zeros(2, 4, 4, 4)), NAMES)
    with pytest.raises(ValueError, match=r"^label_names: none: at least one label is needed$"):
        draw_surfaces(MetaTensor(torch.zeros(1, 4, 4, 4)), {})
