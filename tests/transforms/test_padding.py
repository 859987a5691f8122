"""Small volumes are padded in the middle, each channel with its own value."""

from __future__ import annotations

import pytest
import torch
from monai.transforms import SpatialPad

from hybridseg.transforms import WindowInferer
from hybridseg.transforms.padding import pad_to_size

VOLUME = torch.randn(2, 5, 9, 4)
SIZE = (8, 8, 8)


def test_each_channel_has_its_own_value() -> None:
    padded, (depth, height, width) = pad_to_size(VOLUME, SIZE, [-1.0, 0.5])
    assert padded.shape == (2, 8, 9, 8)
    assert torch.equal(padded[:, depth, height, width], VOLUME)
    assert padded[:, 0, 0, 0].tolist() == [-1.0, 0.5]


def test_one_value_pads_as_monai_does() -> None:
    ours, _ = pad_to_size(VOLUME, SIZE, 3.0)
    assert torch.equal(ours, torch.as_tensor(SpatialPad(SIZE, value=3.0)(VOLUME)))


def test_windows_of_a_small_volume_are_padded_by_channel() -> None:
    seen = []

    def network(windows: torch.Tensor) -> torch.Tensor:
        seen.append(windows)
        return windows

    logits = WindowInferer(SIZE, padding=[-1.0, 0.5], precision="fp32", half=False)(VOLUME[None], network)
    assert seen[0][0, :, 0, 0, 0].tolist() == [-1.0, 0.5]
    torch.testing.assert_close(logits[0], VOLUME)


def test_values_must_be_one_or_one_for_each_channel() -> None:
    with pytest.raises(
        ValueError, match=r"padding: \[0\.0, 0\.0, 0\.0\]: must be one value, or one for each of 2 channels"
    ):
        pad_to_size(VOLUME, SIZE, [0.0] * 3)
