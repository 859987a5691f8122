"""Label shares are MONAI's one-hot labels without the empty channels, and give the labels back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import AsDiscreted, Compose, RandAffined

from hybridseg.transforms.augmentation import LabelsToSharesd, SharesToLabelsd


@pytest.fixture
def labels() -> torch.Tensor:
    """Labels 0, 3, 4 and 9 in blocks of 4 voxels."""
    generator = torch.Generator().manual_seed(0)
    blocks = torch.tensor([0.0, 3, 4, 9])[torch.randint(4, (1, 4, 4, 4), generator=generator)]
    return blocks.repeat_interleave(4, 1).repeat_interleave(4, 2).repeat_interleave(4, 3)


def apply(*transforms: Any, label: torch.Tensor) -> dict[str, Any]:
    done: Any = Compose(transforms).set_random_state(0)({"label": label})
    return done


def test_shares_give_the_labels_back(labels):
    shares = apply(LabelsToSharesd("label"), label=labels)["label"]
    assert torch.equal(shares, torch.stack([(labels[0] == label).float() for label in (0, 3, 4, 9)]))
    done = apply(LabelsToSharesd("label"), SharesToLabelsd("label"), label=labels)
    assert set(done) == {"label"}
    assert torch.equal(done["label"], labels)


@pytest.mark.parametrize("label", [0.0, 7.0])
def test_single_label_is_kept(label):
    labels = torch.full((1, 3, 3, 3), label)
    assert torch.equal(apply(LabelsToSharesd("label"), SharesToLabelsd("label"), label=labels)["label"], labels)


def test_rotated_shares_equal_rotated_one_hot_labels(labels):
    move: dict[str, Any] = {"prob": 1.0, "rotate_range": [0.3] * 3, "scale_range": [0.2] * 3, "padding_mode": "border"}
    few = apply(
        LabelsToSharesd("label"), RandAffined("label", **move), SharesToLabelsd("label"), label=MetaTensor(labels)
    )["label"]
    every = apply(
        AsDiscreted("label", to_onehot=11),
        RandAffined("label", **move),
        AsDiscreted("label", argmax=True),
        label=MetaTensor(labels),
    )["label"]
    assert torch.equal(few, every)
    assert not torch.equal(few, labels)
