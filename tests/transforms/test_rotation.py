"""Labels are rotated as MONAI rotates one-hot labels, without interpolating where neighbours agree."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.transforms import RandAffined

from hybridseg.transforms.rotation import RandRotateScaled, near_other_label, sample_labels

LABELS = (0, 3, 4, 9)


def blocks(shape: tuple[int, int, int], labels: tuple[int, ...] = LABELS) -> torch.Tensor:
    """Draw labels (1, D, H, W) in blocks of 4 voxels."""
    generator = torch.Generator().manual_seed(0)
    choice = torch.randint(len(labels), [1, *(length // 4 + 1 for length in shape)], generator=generator)
    drawn = torch.tensor(labels)[choice]
    for axis, length in enumerate(shape, start=1):
        drawn = drawn.repeat_interleave(4, axis).narrow(axis, 0, length)
    return drawn.to(torch.uint8 if max(labels) < 256 else torch.int32)


@pytest.mark.parametrize("shape", [(24, 20, 16), (17, 9, 1)])
@pytest.mark.parametrize("labels", [LABELS, (1, 70, 40_000)])
def test_result_is_that_of_rotated_one_hot_labels(shape, labels):
    case: dict[Any, Any] = {
        "image": torch.rand(2, *shape, generator=torch.Generator().manual_seed(1)),
        "label": blocks(shape, labels),
    }
    ours = RandRotateScaled("image", "label", prob=0.5, rotation=[20.0, 10.0, 30.0], scaling=0.3).set_random_state(2)
    move = RandAffined(
        ["image", "label"],
        prob=0.5,
        rotate_range=torch.deg2rad(torch.tensor([20.0, 10.0, 30.0])).tolist(),
        scale_range=[0.3] * 3,
        padding_mode="border",
    ).set_random_state(2)
    numbers = case["label"].unique()
    one_hot = (case["label"] == numbers.view(-1, 1, 1, 1)).float()
    changed = 0
    for _ in range(6):  # the random numbers stay in step
        done = ours(case)
        monai: Any = move({**case, "label": one_hot})
        torch.testing.assert_close(done["image"], monai["image"].as_tensor(), atol=1e-4, rtol=0)
        different = done["label"] != numbers[monai["label"].as_tensor().argmax(dim=0, keepdim=True)]
        assert different.float().mean() < 1e-3  # shares that are equal but for rounding
        assert done["label"].dtype == case["label"].dtype
        changed += not torch.equal(done["label"], case["label"])
    assert 0 < changed < 6


@pytest.mark.parametrize("label", [0, 7])
def test_single_label_is_kept(label):
    labels = torch.full((1, 3, 3, 3), label, dtype=torch.uint8)
    assert torch.equal(sample_labels(labels, torch.rand(3, 3, 3, 3) * 3 - 1.5), labels)


def test_only_surfaces_are_interpolated():
    labels = torch.zeros(9, 9, 9, dtype=torch.uint8)
    labels[4, 4, 4] = 1
    near = near_other_label(labels)
    assert near.sum() == 27
    assert near[3:6, 3:6, 3:6].all()
