"""Channels in files of their own may have grids of their own, if they show the same part of the same patient."""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from hybridseg.transforms import LoadVolumed, VolumeError

from .dicom.dicom_files import write_series
from .volume_files import AFFINE, SHAPE, VOXELS, write_nifti

LOAD = LoadVolumed(("image", "label"), channels=2, one_grid=False, allow_missing_keys=True)
COARSE = VOXELS[::2, ::2]
COARSE_AFFINE = AFFINE @ np.array([[2, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 1, 0], [0, 0, 0, 1]])


def moved(part: float) -> np.ndarray:
    """Return the affine of a grid that covers this part of the first channel's."""
    affine = AFFINE.copy()
    affine[:3, 3] += AFFINE[:3, 0] * SHAPE[0] * (1 - part)
    return affine


def test_channels_apart_keep_their_grids(tmp_path: Path) -> None:
    files = [write_nifti(tmp_path / "a.nii"), write_nifti(tmp_path / "b.nii", COARSE, COARSE_AFFINE)]
    loaded = LOAD({"image": [str(file) for file in files]})
    assert set(loaded) == {"image", "image_1"}
    for key, voxels, affine in (("image", VOXELS, AFFINE), ("image_1", COARSE, COARSE_AFFINE)):
        np.testing.assert_array_equal(loaded[key][0], voxels)
        np.testing.assert_array_equal(loaded[key].affine, affine)


def test_channels_on_one_grid_are_one_image(tmp_path: Path) -> None:
    files = [write_nifti(tmp_path / "a.nii"), write_nifti(tmp_path / "b.nii", VOXELS + 1, AFFINE + 1e-6)]
    case: dict[Hashable, Any] = {"image": [str(file) for file in files]}
    apart, together = LOAD(case), LoadVolumed("image", channels=2)(case)
    assert set(apart) == set(together) == {"image"}
    np.testing.assert_array_equal(apart["image"], together["image"])
    np.testing.assert_array_equal(apart["image"].affine, together["image"].affine)


@pytest.mark.parametrize(("voxels", "affine", "key"), [(VOXELS, AFFINE, "label"), (COARSE, COARSE_AFFINE, "label_0")])
def test_label_map_may_be_on_the_grid_of_any_channel(tmp_path: Path, voxels: Any, affine: Any, key: str) -> None:
    files = [write_nifti(tmp_path / "a.nii"), write_nifti(tmp_path / "b.nii", COARSE, COARSE_AFFINE)]
    label = write_nifti(tmp_path / "label.nii", np.abs(voxels) % 3, affine)
    loaded = LOAD({"image": [str(file) for file in files], "label": str(label)})
    assert set(loaded) == {"image", "image_1", key}
    np.testing.assert_array_equal(loaded[key].affine, affine)


def test_label_map_on_another_grid_is_an_error(tmp_path: Path) -> None:
    files = [write_nifti(tmp_path / "a.nii"), write_nifti(tmp_path / "b.nii", COARSE, COARSE_AFFINE)]
    label = write_nifti(tmp_path / "label.nii", np.abs(VOXELS[1:]) % 3)
    with pytest.raises(
        VolumeError, match=r"label.nii: shape \(6, 6, 5\) instead of \(7, 6, 5\): must be on the grid of"
    ):
        LOAD({"image": [str(file) for file in files], "label": str(label)})


def test_channel_that_covers_only_part_of_the_first_is_noticed(tmp_path: Path) -> None:
    first, other = write_nifti(tmp_path / "a.nii"), tmp_path / "b.nii"
    case: dict[Hashable, Any] = {"image": [str(first), str(other)]}
    with warnings.catch_warnings(action="error"):
        write_nifti(other, affine=moved(0.98))
        LOAD(case)
    write_nifti(other, affine=moved(0.8))
    with pytest.warns(
        UserWarning, match=r"b.nii: covers (79|8\d)% of the volume of .*a.nii: the channel counts as air"
    ):
        LOAD(case)
    write_nifti(other, affine=moved(0.3))
    with pytest.raises(
        VolumeError, match=r"b.nii: covers 3\d% of the volume of .*a.nii: a channel must cover at least 50"
    ):
        LOAD(case)


def test_series_in_two_frames_of_reference_are_an_error(tmp_path: Path) -> None:
    for name in ("ct", "pet"):
        write_series(tmp_path / name)
    case: dict[Hashable, Any] = {"image": [str(tmp_path / "ct"), str(tmp_path / "pet")]}
    assert LOAD(case)["image"].shape[0] == 2
    for name, uid in (("ct", "1.2.3"), ("pet", "1.2.4")):
        for path in (tmp_path / name).iterdir():
            dataset = pydicom.dcmread(path)
            dataset.FrameOfReferenceUID = uid
            dataset.save_as(path)
    with pytest.raises(VolumeError, match=r"pet: frame of reference 1\.2\.4: must be that of .*ct, 1\.2\.3: positions"):
        LOAD(case)
