"""Voxels without annotation count nowhere: not in patches, rotation, regions or metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hybridseg.transforms import ClearIgnoredd, LabelsToRegionsd
from hybridseg.transforms.patches import RandPatchesd
from hybridseg.transforms.rotation import sample_labels

IGNORE = 3


def test_no_patch_is_centred_on_a_voxel_without_annotation() -> None:
    label = torch.full((1, 16, 16, 16), IGNORE, dtype=torch.uint8)
    label[0, 4:6, 4:12, 4:12], label[0, 5, 8, 8] = 0, 1
    case: dict[Any, Any] = {"image": label.float(), "label": label}
    cut = RandPatchesd(["image", "label"], "label", (3, 3, 3), 50, ignore=IGNORE)
    cut.set_random_state(0)
    patches = cut(case)
    centres = [int(patch["label"][0, 1, 1, 1]) for patch in patches]
    assert set(centres) == {0, 1}
    assert 15 < centres.count(1) < 35


def test_case_without_annotation_still_gives_patches() -> None:
    label = torch.full((1, 4, 4, 4), IGNORE, dtype=torch.uint8)
    (patch,) = RandPatchesd(["label"], "label", (2, 2, 2), ignore=IGNORE)({"label": label})
    assert (patch["label"] == IGNORE).all()


def test_voxel_is_ignored_where_that_share_is_greatest() -> None:
    label = torch.tensor([1, 1, IGNORE, IGNORE], dtype=torch.uint8).view(1, 1, 1, 4).expand(1, 2, 2, 4).contiguous()
    shares = torch.tensor([0.3, 0.49, 0.51, 0.8])
    points = torch.zeros(1, 1, 4, 3)
    points[..., 0] = (2 * (1 + shares) + 1) / 4 - 1  # between the voxels 1 and 2, as grid_sample has it
    assert sample_labels(label, points).flatten().tolist() == [1, 1, IGNORE, IGNORE]


def test_ignored_voxels_are_marked_in_every_region() -> None:
    labels = torch.tensor([0.0, 1, 2, IGNORE]).view(1, 4, 1, 1)
    regions = LabelsToRegionsd("label", {"whole": [4, 6], "core": [6]}, labels=["4", "6"], ignore=IGNORE)
    assert regions({"label": labels})["label"].view(2, 4).tolist() == [[0, 1, 1, IGNORE], [0, 0, 1, IGNORE]]


def test_cleared_voxels_are_background_in_both() -> None:
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(IGNORE + 1, (1, 6, 5, 4), generator=generator).float()
    logits = torch.randn(IGNORE, 6, 5, 4, generator=generator)
    done = ClearIgnoredd(["pred", "label"], "label", IGNORE)({"pred": logits, "label": label})
    ignored = label[0] == IGNORE
    assert not done["pred"].argmax(0)[ignored].any()
    np.testing.assert_array_equal(done["label"][0], np.where(ignored, 0, label[0]))
    torch.testing.assert_close(done["pred"][:, ~ignored], logits[:, ~ignored])
