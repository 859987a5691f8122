"""Resampling axis by axis equals MONAI's Spacingd for volumes that are not oblique."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Spacingd

from hybridseg.transforms import VolumeError
from hybridseg.transforms.spatial.resample import Resampled

lengths = st.tuples(*[st.floats(0.5, 4)] * 3)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.tuples(*[st.integers(1, 14)] * 3), lengths, lengths, st.permutations([0, 1, 2]))
def test_resampling_equals_spacingd(
    shape: tuple[int, ...], before: tuple[float, ...], after: tuple[float, ...], order: list[int]
) -> None:
    affine = np.diag([*before, 1.0])
    affine[:3, 3] = (5, -7, 11)
    torch.manual_seed(0)
    voxels = torch.randn(2, *(shape[axis] for axis in order)).permute(0, *(1 + order.index(axis) for axis in range(3)))
    case: Any = {"image": MetaTensor(voxels, affine=torch.from_numpy(affine))}
    ours: Any = Resampled(["image"], after)(case)["image"]
    theirs: Any = Spacingd(["image"], pixdim=after, mode="bilinear")(case)["image"]
    assert ours.is_contiguous()
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-9)
    torch.testing.assert_close(ours.as_tensor(), theirs.as_tensor(), rtol=0, atol=6e-3)  # positions within 1e-3 voxels


def test_metadata_is_kept() -> None:
    image = MetaTensor(torch.randn(1, 4, 4, 4), meta={"filename_or_obj": "a.nii", "original_affine": np.eye(4)})
    resampled = Resampled("image", (2, 2, 2))({"image": image})["image"]
    assert resampled.meta["filename_or_obj"] == "a.nii"
    np.testing.assert_array_equal(resampled.meta["original_affine"], np.eye(4))
    np.testing.assert_array_equal(resampled.affine, np.diag([2.0, 2, 2, 1]))


def test_too_many_voxels_are_an_error() -> None:
    image = MetaTensor(torch.randn(1, 24, 24, 24), affine=torch.diag(torch.tensor([100.0, 100, 100, 1])))
    with pytest.raises(VolumeError, match="image: 2301 x 2301 x 2301 voxels at 1 x 1 x 1 mm: must be at most"):
        Resampled("image", (1, 1, 1))({"image": image})


def test_missing_key_can_be_allowed() -> None:
    assert Resampled("image", (1, 1, 1), allow_missing_keys=True)({}) == {}
    with pytest.raises(KeyError):
        Resampled("image", (1, 1, 1))({})
