"""The label of a voxel: the class with the highest logit, a thresholded channel, or the last region."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from hybridseg.transforms import restore_labels
from hybridseg.transforms.spatial import restore as restoring

from .grids import is_inside, make_affine, positions, to_logits

# Classes


@pytest.mark.parametrize(("classes", "dtype"), [(2, np.uint8), (256, np.uint8), (257, np.uint16), (300, np.uint16)])
@pytest.mark.parametrize("turn", [(0, 0, 0), (0, 0, 1)])
def test_labels_above_255_are_uint16(classes: int, dtype: Any, turn: tuple[float, ...]) -> None:
    labels = np.full((3, 3, 3), classes - 1)
    restored = restore_labels(
        to_logits(labels, classes), make_affine(turn, (1, 1, 1)), (3, 3, 3), make_affine((0, 0, 0), (1, 1, 1))
    )
    assert restored.dtype == dtype
    assert restored.max() == classes - 1


def test_single_channel_needs_a_threshold() -> None:
    logits = torch.linspace(-1, 1, 27).reshape(1, 3, 3, 3)
    affine = make_affine((0, 0, 0), (1, 1, 1))
    restored = restore_labels(logits, affine, (3, 3, 3), affine, threshold=0.5)
    np.testing.assert_array_equal(restored, logits[0] > 0.5)
    with pytest.raises(ValueError, match="threshold: None for 1 channels: one channel needs one, several need None"):
        restore_labels(logits, affine, (3, 3, 3), affine)
    with pytest.raises(ValueError, match=r"threshold: 0.0 for 2 channels"):
        restore_labels(logits.repeat(2, 1, 1, 1), affine, (3, 3, 3), affine, threshold=0.0)


def test_equal_logits_with_gradients_give_the_first_class() -> None:
    affine = make_affine((0, 0, 0), (1, 1, 1))
    logits = torch.zeros(3, 2, 2, 2, requires_grad=True)
    assert not restore_labels(logits, affine, (2, 2, 2), affine).any()  # the first of equals


@pytest.mark.parametrize("turn", [(0, 0, 0), (10, 20, 30)])
def test_nan_is_an_error(turn: tuple[float, ...]) -> None:
    logits = torch.zeros(3, 4, 4, 4)
    logits[1, 2, 2, 2] = torch.nan
    with pytest.raises(ValueError, match="logits: NaN: must be numbers"):
        restore_labels(logits, make_affine(turn, (1, 1, 1)), (4, 4, 4), make_affine((0, 0, 0), (1, 1, 1)))


def test_probabilities_are_interpolated_on_request() -> None:
    """Between a confident voxel and an uncertain one, the confident one wins in logits, but not in probabilities."""
    logits = torch.tensor([[0.0, 0.0], [10.0, -2.0]])[:, :, None, None]  # probability of class 1: nearly 1, then 0.12
    finer = np.diag([0.6, 1.0, 1.0, 1.0])
    arguments = (logits, np.eye(4), (3, 1, 1), finer)  # at 0, 0.6 and 1.2 (within half a voxel of the last)
    assert restore_labels(*arguments).ravel().tolist() == [1, 1, 0]
    far = (logits, np.eye(4), (2, 1, 1), np.diag([0.7, 1.0, 1.0, 1.0]))  # 1.6 as logit, 0.38 as probability
    assert restore_labels(*far).ravel().tolist() == [1, 1]
    assert restore_labels(*far, probabilities=True).ravel().tolist() == [1, 0]


# Overlapping regions


@pytest.mark.parametrize("turn", [(0, 0, 0), (10, 20, 30)])
def test_later_regions_overwrite_earlier_ones(turn: tuple[float, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    regions = {"whole": [1, 2, 7], "core": [2, 7], "middle": [2]}  # write 1, 7 and 2
    logits = torch.nn.functional.avg_pool3d(torch.randn(3, 15, 14, 13), 3, 1)
    grid, finer = make_affine(turn, (1.5, 1.6, 1.7)), make_affine((0, 0, 0), (0.9, 0.8, 0.7))
    grid[:3, 3] = finer[:3, 3]
    position = positions((20, 24, 22), grid, finer)
    inside = is_inside(position, tuple(logits.shape[1:]))
    labels = np.zeros(20 * 24 * 22, np.uint8)
    for label, channel in zip((1, 7, 2), logits.numpy(), strict=True):
        labels[inside & (map_coordinates(channel, position, order=1, mode="nearest") > 0)] = label
    expected = labels.reshape(20, 24, 22)
    assert set(np.unique(expected)) == {0, 1, 2, 7}
    for share in (0.0, 1.0):  # everywhere, or only where labels may change
        monkeypatch.setattr(restoring, "MOST_DISPUTED", share)
        restored = restore_labels(logits, grid, (20, 24, 22), finer, regions=regions)
        assert (restored != expected).mean() < 1e-3  # float32 rounding decides logits close to 0


def test_one_region_equals_one_channel_with_a_threshold() -> None:
    logits = torch.randn(1, 9, 8, 7)
    arguments = (logits, np.eye(4), (15, 14, 13), np.diag([0.6, 0.6, 0.6, 1]))
    foreground = restore_labels(*arguments, threshold=0.0)
    np.testing.assert_array_equal(restore_labels(*arguments, regions={"organ": [1]}), foreground)
    np.testing.assert_array_equal(restore_labels(*arguments, regions={"organ": [300]}), 300 * foreground.astype(int))
    assert restore_labels(*arguments, regions={"organ": [300]}).dtype == np.uint16


def test_region_probabilities_are_interpolated_on_request() -> None:
    logits = torch.tensor([[10.0, -2.0]])[:, :, None, None]  # probability nearly 1, then 0.12
    far = (logits, np.eye(4), (2, 1, 1), np.diag([0.7, 1.0, 1.0, 1.0]))  # 1.6 as logit, 0.38 as probability
    assert restore_labels(*far, regions={"organ": [1]}).ravel().tolist() == [1, 1]
    assert restore_labels(*far, regions={"organ": [1]}, probabilities=True).ravel().tolist() == [1, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"regions": {"whole": [1, 2], "core": [2]}},
            "regions: 2 for 1 channels, threshold None: must be one for each",
        ),
        ({"regions": {"whole": [1]}, "threshold": 0.5}, "regions: 1 for 1 channels, threshold 0.5: must be one for"),
    ],
)
def test_regions_must_match_the_channels(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        restore_labels(torch.zeros(1, 3, 3, 3), np.eye(4), (3, 3, 3), np.eye(4), **options)


def test_nan_in_a_region_is_an_error() -> None:
    logits = torch.zeros(2, 4, 4, 4)
    logits[0, 2, 2, 2] = torch.nan
    with pytest.raises(ValueError, match="logits: NaN: must be numbers"):
        restore_labels(logits, np.eye(4), (4, 4, 4), np.eye(4), regions={"whole": [1, 2], "core": [2]})
