"""A volume in memory is segmented like its file, and its labels are not written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.utils import SpaceKeys

from hybridseg.transforms import LoadVolumed, VolumeError, mri_preprocessing, postprocessing

AFFINE = np.array([[0, -2.0, 0, 5], [1.5, 0, 0, 7], [0, 0, 3, -20], [0, 0, 0, 1]])
VOXELS = np.random.default_rng(0).integers(0, 1000, (9, 8, 7)).astype(np.int16)


def in_memory(voxels: np.ndarray = VOXELS, **meta: object) -> MetaTensor:
    return MetaTensor(torch.from_numpy(voxels), affine=torch.from_numpy(AFFINE), meta=meta)


def apply(transform: Callable[..., Any], **data: Any) -> dict[str, Any]:
    return transform(data)


def file(folder: Path) -> str:
    nib.save(nib.Nifti1Image(VOXELS, AFFINE), folder / "case.nii.gz")
    return str(folder / "case.nii.gz")


@pytest.mark.parametrize("volume", [in_memory(), in_memory(VOXELS[None]), in_memory(original_channel_dim="no_channel")])
def test_volume_is_loaded_like_its_file(tmp_path, volume):
    load = LoadVolumed("image", orientation="RAS")
    loaded, expected = apply(load, image=volume)["image"], apply(load, image=file(tmp_path))["image"]
    assert loaded.dtype == torch.float32
    torch.testing.assert_close(loaded.as_tensor(), expected.as_tensor(), rtol=0, atol=0)
    assert loaded.meta["filename_or_obj"] == ""
    for key in ("affine", "original_affine", "spatial_shape"):
        np.testing.assert_array_equal(loaded.meta[key], expected.meta[key])


def test_channels_come_first():
    loaded = apply(LoadVolumed("image", channels=2), image=in_memory(np.stack([VOXELS, VOXELS + 1])))["image"]
    np.testing.assert_array_equal(loaded.numpy(), np.stack([VOXELS, VOXELS + 1]))


def test_given_tensor_is_not_changed():
    volume = in_memory(VOXELS.astype(np.float32))
    apply(mri_preprocessing(spacing=(2, 2, 2)), image=volume)
    np.testing.assert_array_equal(volume.numpy(), VOXELS)


def test_labels_are_restored_and_no_file_is_written(tmp_path):
    image = apply(mri_preprocessing(spacing=(2, 2, 2)), image=in_memory())["image"]
    logits = torch.randn(3, *image.shape[1:], generator=torch.Generator().manual_seed(0))
    labels = apply(postprocessing(output_dir=str(tmp_path / "labels")), image=image, pred=logits)["pred"]
    assert labels.shape == (1, *VOXELS.shape)
    np.testing.assert_array_equal(labels.affine.numpy(), AFFINE)
    assert set(labels.unique().tolist()) == {0, 1, 2}
    assert not (tmp_path / "labels").exists()


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        (in_memory(space=SpaceKeys.LPS), "volume in memory: affine to LPS mm: must be to RAS mm"),
        (in_memory(space="scanner"), "volume in memory: affine to scanner mm: must be to RAS mm"),
        (in_memory(np.stack([VOXELS, VOXELS])), r"volume in memory: 2 channels .*: must have 1"),
        (in_memory(VOXELS[0]), r"volume in memory: 2 dimensions \(8, 7\): must have 3"),
        (in_memory(np.full((4, 4, 4), np.nan, np.float32)), "volume in memory: .*finite"),
    ],
)
def test_invalid_volumes_are_errors(volume, message):
    with pytest.raises(VolumeError, match=message):
        apply(LoadVolumed("image"), image=volume)
