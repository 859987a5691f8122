"""Each channel is normalised by its modality, and intensities that another modality would have are noticed."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from monai.data import MetaTensor

from hybridseg.transforms import VolumeError
from hybridseg.transforms.intensity import z_score_body
from hybridseg.transforms.modalities import CheckModalitiesd, NormaliseChannelsd, body_mask


def scan(lowest: float, highest: float = 50.0) -> MetaTensor:
    """A uniform image with one lowest voxel."""
    image = MetaTensor(torch.full((1, 4, 4, 4), highest), meta={"filename_or_obj": "scan.nii"})
    image[0, 0, 0, 0] = lowest
    return image


@pytest.mark.parametrize(
    ("lowest", "modality", "message"),
    [
        (-1024.0, "MRI", r"scan.nii: the lowest voxel is -1024: as low as air in CT, but this pipeline is for MRI"),
        (-60.0, "MRI", None),  # overshoot of an interpolation
        (0.0, "CT", r"scan.nii: the lowest voxel is 0: CT in HU has fat and air below 0: is this CT\?"),
        (-90.0, "CT", None),  # a crop of fat and muscle
        (-0.1, "PET", None),
    ],
)
def test_intensities_of_another_modality_give_a_warning(lowest: float, modality: str, message: str | None) -> None:
    check = CheckModalitiesd("image", modalities=[modality])
    image = scan(lowest)
    if message is None:
        with warnings.catch_warnings(action="error"):
            assert check({"image": image})["image"] is image
    else:
        with pytest.warns(UserWarning, match=message):
            check({"image": image})


def test_pet_that_is_not_in_suv_is_noticed() -> None:
    check = CheckModalitiesd("image", modalities=["PET"])
    with pytest.warns(
        UserWarning, match=r"scan.nii: the highest voxel is 25000: SUV are far lower: is this PET in Bq/ml"
    ):
        check({"image": scan(0.0, 25000.0)})
    with pytest.raises(VolumeError, match=r"scan.nii: the lowest voxel is -1000: must be SUV, .*: is this the PET\?"):
        check({"image": scan(-1000.0)})


def test_channel_and_modality_are_named_where_there_are_several() -> None:
    image = MetaTensor(torch.cat([scan(-1000.0), scan(-1000.0)]), meta={"filename_or_obj": "scan.nii"})
    with pytest.warns(UserWarning, match=r"scan.nii: the lowest voxel in channel 1, MRI is -1000: as low as air"):
        CheckModalitiesd("image", modalities=["CT", "MRI"])({"image": image})
    apart: dict[Any, Any] = {"image": scan(-1000.0), "image_1": scan(-1000.0)}
    with pytest.raises(VolumeError, match="the lowest voxel in channel 1, PET is -1000"):
        CheckModalitiesd("image", modalities=["CT", "PET"])(apart)


def test_each_channel_is_scaled_by_what_it_means() -> None:
    hounsfield, uptake, brightness = torch.linspace(-1000, 1000, 125), torch.linspace(0, 30, 125), torch.randn(125)
    image = MetaTensor(torch.stack([hounsfield, uptake, brightness]).view(3, 5, 5, 5))
    scale = NormaliseChannelsd("image", modalities=["CT", "PET", "MRI"], windows=[(-100, 300), None, None])
    ct, pet, mri = scale({"image": image})["image"].as_tensor()
    torch.testing.assert_close(ct.flatten(), ((hounsfield - 100) / 200).clamp(-1, 1))
    torch.testing.assert_close(pet.flatten(), uptake.clamp(0, 20) / 5)
    torch.testing.assert_close(mri[None], z_score_body(torch.as_tensor(image[2:])))


def test_body_of_each_channel_is_found_in_its_own_unit() -> None:
    values = torch.tensor([-1000.0, -100.0, 0.1, 2.0, 40.0, 60.0, 80.0, 100.0]).view(1, 2, 2, 2)
    ct, pet, mri = body_mask(values.repeat(3, 1, 1, 1), modalities=["CT", "PET", "MRI"]).flatten(1).sum(1).tolist()
    assert (ct, pet) == (7, 5)
    assert 0 < mri < 8
    with pytest.raises(VolumeError, match="no voxel brighter than air"):
        body_mask(torch.zeros(1, 2, 2, 2), modalities=["PET"])


@pytest.mark.parametrize(
    ("modalities", "windows", "message"),
    [
        (["CT"], [None], "window: None: must be two HU, the highest above the lowest"),
        (["CT"], [(100, 0)], r"window: \(100, 0\): must be two HU"),
        (["XA"], [None], "modalities: 'XA': must be one of CT, PET, MRI"),
        ([], [], "modalities: none: must be one for each channel"),
    ],
)
def test_invalid_settings_are_errors(modalities: list[str], windows: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NormaliseChannelsd("image", modalities=modalities, windows=windows)
