"""The slice to draw, and outlines that lie where the mask does."""

from __future__ import annotations

import numpy as np
import pytest

from hybridseg.app.figures.panels import FINER, best_slice, fine_mask, grey_window

NAMES = {1: "liver", 2: "spleen"}


def test_best_slice_shows_all_labels() -> None:
    labels = np.zeros((20, 20, 20), dtype=np.float32)
    labels[:, :, 2:8] = 1
    labels[0, 0, 7] = 2
    assert best_slice(labels, 2, NAMES) == 7
    assert best_slice(labels * 0, 2, NAMES) == 10


def test_window_is_the_given_one_or_percentiles() -> None:
    image = np.arange(1001.0)
    assert grey_window(image, (-5.0, 5.0)) == (-5.0, 5.0)
    assert grey_window(image) == pytest.approx((10, 995))


def test_fine_mask_lies_where_the_mask_does() -> None:
    """A box of 4 x 2 pixels of 3 mm, its lower left corner at 9 and 6 mm."""
    mask = np.zeros((10, 20), dtype=bool)
    mask[2:4, 3:7] = True
    x, y, fine = fine_mask(mask, (0.0, 60.0, 0.0, 30.0))
    assert fine.shape == (4 * FINER, 6 * FINER)
    inside = fine > 0.5
    assert x[inside.any(axis=0)].mean() == pytest.approx((9 + 21) / 2)
    assert y[inside.any(axis=1)].mean() == pytest.approx((6 + 12) / 2)
