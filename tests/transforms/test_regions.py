"""Overlapping regions: the label that each writes, and labels turned into regions and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.losses import DiceFocalLoss, DiceLoss
from torch.nn.functional import binary_cross_entropy_with_logits

from hybridseg.transforms import LabelsToRegionsd, augmentation, region_labels, restore_labels

TUMOUR = {"whole tumour": [1, 2, 3], "tumour core": [2, 3], "enhancing tumour": [3]}


@pytest.mark.parametrize(
    ("regions", "written"),
    [
        (TUMOUR, (1, 2, 3)),
        ({"kidney and masses": [1, 2, 3], "masses": [3, 2], "tumour": [2]}, (1, 3, 2)),
        ({"right": [2], "left": [1]}, (2, 1)),
        ({"prostate": [1, 2], "transition zone": [2]}, (1, 2)),
        ({"organ": [65535]}, (65535,)),
    ],
)
def test_reference_regions_give_the_reference_labels(regions: dict[str, list[int]], written: tuple[int, ...]) -> None:
    assert region_labels(regions) == written
    labels = np.random.default_rng(0).choice([0, *written], (6, 5, 4))
    masks = LabelsToRegionsd("label", regions)({"label": torch.from_numpy(labels)[None]})["label"]
    restored = restore_labels(masks - 0.5, np.eye(4), labels.shape, np.eye(4), regions=regions)
    np.testing.assert_array_equal(restored, labels)


def test_region_with_several_labels_of_its_own_writes_the_first() -> None:
    regions = {"whole": [1, 2, 3, 4], "core": [3, 1, 2], "enhancing": [1]}  # nnUNet #3042
    assert region_labels(regions) == (4, 3, 1)
    labels = np.random.default_rng(0).integers(0, 5, (6, 5, 4))
    to_regions = LabelsToRegionsd("label", regions)
    masks = to_regions({"label": torch.from_numpy(labels)[None]})["label"]
    restored = restore_labels(masks - 0.5, np.eye(4), labels.shape, np.eye(4), regions=regions)
    assert set(np.unique(restored)) == {0, 1, 3, 4}
    torch.testing.assert_close(to_regions({"label": torch.from_numpy(restored)[None]})["label"], masks)


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ({}, "regions: none: at least one is needed"),
        ({"whole": []}, r"regions: 'whole': \[\]: must be labels, integers from 1 to 65535"),
        ({"whole": [0, 1]}, r"regions: 'whole': \[0, 1\]: must be labels"),
        ({"whole": [65536]}, r"regions: 'whole': \[65536\]: must be labels"),
        ({"whole": [1.0]}, r"regions: 'whole': \[1.0\]: must be labels"),
        ({"whole": [True]}, r"regions: 'whole': \[True\]: must be labels"),
        ({"whole": 3}, "regions: 'whole': 3: must be labels"),
        (
            {"core": [2], "whole": [1, 2]},
            r"regions: 'core': \[2\], all in later regions: must have a label that is in no",
        ),
        ({"one": [1], "same": [1]}, r"regions: 'one': \[1\], all in later regions"),
    ],
)
def test_invalid_regions_are_errors(regions: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        region_labels(regions)
    with pytest.raises(ValueError, match=message):
        LabelsToRegionsd("label", regions)


def test_regions_of_numbered_label_maps() -> None:
    regions = {"whole": [20, 500, 7], "core": [500]}
    numbers = torch.arange(4.0).reshape(1, 4, 1, 1)
    masks = LabelsToRegionsd("label", regions, labels={"500": "core", "7": "edge", "20": "rim"})({"label": numbers})
    assert masks["label"][:, :, 0, 0].tolist() == [[0, 1, 1, 1], [0, 0, 0, 1]]


def test_value_that_is_no_label_is_an_error() -> None:
    """Its number would be that of another label."""
    with pytest.raises(ValueError, match=r"regions: \[1, 3\]: must be among the labels 2, 20, 500"):
        LabelsToRegionsd("label", {"whole": [3, 2, 500], "core": [1]}, labels=(500, 20, 2))


def test_regions_keep_the_affine() -> None:
    labels = MetaTensor(
        torch.tensor([0.0, 1, 2, 3]).reshape(1, 4, 1, 1), affine=torch.diag(torch.tensor([2.0, 3, 4, 1]))
    )
    regions = LabelsToRegionsd("label", TUMOUR)({"label": labels})["label"]
    assert regions[:, :, 0, 0].tolist() == [[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]]
    assert regions.dtype == torch.float32
    assert torch.equal(regions.affine, labels.affine)


def test_augmented_labels_become_nested_regions() -> None:
    labels = torch.zeros(1, 20, 20, 20)
    labels[0, 4:16, 4:16, 4:16] = 1
    labels[0, 7:13, 7:13, 7:13] = 2
    labels[0, 8:11, 8:11, 8:11] = 3
    case = {"image": MetaTensor(torch.randn(4, 20, 20, 20)), "label": MetaTensor(labels)}
    pipeline = augmentation(patch_size=(16, 16, 16), patches=3, flip_axes=[0, 1, 2], regions=TUMOUR)
    pipeline.set_random_state(0)
    patches: Any = pipeline(case)
    assert len(patches) == 3
    for patch in patches:
        whole, core, enhancing = patch["label"]
        assert patch["image"].shape == (4, 16, 16, 16)
        assert patch["label"].unique().tolist() == [0, 1]
        assert (whole >= core).all()
        assert (core >= enhancing).all()


def test_dice_focal_loss_with_gamma_0_is_dice_plus_bce() -> None:
    """Bundles with regions rely on it; MONAI's DiceCELoss would apply a softmax to several channels."""
    logits, regions = torch.randn(2, 3, 5, 6, 7) * 4, (torch.rand(2, 3, 5, 6, 7) > 0.5).float()
    loss = DiceFocalLoss(sigmoid=True, batch=True, gamma=0)(logits, regions)
    dice = DiceLoss(sigmoid=True, batch=True)(logits, regions)
    torch.testing.assert_close(loss, dice + binary_cross_entropy_with_logits(logits, regions))
