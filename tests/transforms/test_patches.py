"""Patches are those of MONAI's crop by classes, whether a volume lies in memory or is read in parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import ClassesToIndicesd, RandCropByLabelClassesd

from hybridseg.transforms import patches
from hybridseg.transforms.patches import POSITIONS, RandPatchesd, label_positions

SHAPE = (20, 17, 24)


@pytest.fixture
def case() -> dict[str, Any]:
    """An image of two channels with every voxel's own number, and labels 0, 1, 3, the last of one voxel."""
    image = torch.arange(2 * 20 * 17 * 24, dtype=torch.float32).view(2, *SHAPE)
    label = torch.zeros(1, *SHAPE)
    label[0, 3:9, 2:8, 5:20] = 1
    label[0, 18, 15, 22] = 3
    return {"case": "a", "image": image, "label": label}


def cut(case: dict[Any, Any], size: tuple[int, int, int], seed: int = 0, **options: Any) -> list[dict[Any, Any]]:
    transform = RandPatchesd(["image", "label"], "label", size, **options)
    transform.set_random_state(seed)
    return transform(case)


@pytest.mark.parametrize("size", [(8, 8, 8), (7, 17, 24)])
def test_patches_equal_those_of_monai(case, size):
    indices = ClassesToIndicesd("label", num_classes=4)(case)
    monai: Any = RandCropByLabelClassesd(
        ["image", "label"],
        label_key="label",
        spatial_size=size,
        num_classes=4,
        num_samples=20,
        ratios=[2, 1, 0, 1],
        indices_key="label_cls_indices",
        warn=False,
    )
    monai.set_random_state(5)
    for ours, theirs in zip(cut(case, size, 5, patches=20), monai(indices), strict=True):
        assert torch.equal(ours["image"], theirs["image"].as_tensor())
        assert torch.equal(ours["label"], theirs["label"].as_tensor())
        assert ours["case"] == "a"


def test_only_patches_are_read_from_an_array(case):
    class Recorded:
        """An array (1, D, H, W) or (2, D, H, W) that remembers how many voxels were read."""

        def __init__(self, values: np.ndarray) -> None:
            self.values, self.shape, self.voxels = values, values.shape, 0

        def __getitem__(self, region: Any) -> np.ndarray:
            self.voxels += self.values[region][0].size
            return self.values[region]

    image = Recorded(case["image"].numpy())
    label = Recorded(case["label"].numpy().astype(np.uint16))
    stored = {"case": "a", "image": image, "label": label, POSITIONS: label_positions(case["label"])}
    for ours, plain in zip(cut(stored, (8, 8, 8), patches=3), cut(case, (8, 8, 8), patches=3), strict=True):
        assert torch.equal(ours["image"], plain["image"])
        assert torch.equal(ours["label"], plain["label"])
        assert ours.keys() == plain.keys()
    assert image.voxels == label.voxels == 3 * 8**3


def test_small_volumes_are_padded_on_both_sides(case):
    (patch,) = cut(case, (24, 17, 8), padding=[-1.0, -2.0])
    assert patch["image"].shape == (2, 24, 17, 8)
    for outside in (slice(0, 2), slice(22, 24)):
        assert (patch["image"][0, outside] == -1).all()
        assert (patch["image"][1, outside] == -2).all()
        assert not patch["label"][:, outside].any()
    assert (patch["image"][:, 2:22] >= 0).all()


def test_patch_is_a_copy(case):
    (patch,) = cut(case, SHAPE)
    patch["image"].zero_()
    assert case["image"].any()


def test_half_of_the_patches_centre_on_labels_equally(case):
    case["label"][0, 0, 0, 0] = 3
    transform = RandPatchesd(["image", "label"], "label", (1, 1, 1), patches=4000)
    transform.set_random_state(0)
    drawn = torch.stack([patch["label"].flatten()[0] for patch in transform(case)])
    shares = [float((drawn == label).float().mean()) for label in (0, 1, 3)]
    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=0.03)


def test_large_labels_keep_evenly_spread_positions(case, monkeypatch):
    monkeypatch.setattr(patches, "MOST_POSITIONS", 10)
    positions = label_positions(case["label"])
    assert sorted(positions) == [0, 1, 3]
    assert [len(voxels) for voxels in positions.values()] == [10, 10, 1]
    labelled = np.flatnonzero(case["label"])
    assert positions[1][0] == labelled[0]
    assert positions[1].dtype == np.int32


def test_labels_above_255_are_kept(case):
    case["label"][0, 18, 15, 22] = 40_000
    (patch,) = cut(case, SHAPE)
    assert patch["label"].dtype == torch.int32
    assert patch["label"].max() == 40_000
