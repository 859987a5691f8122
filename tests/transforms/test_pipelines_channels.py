"""Channels of several modalities become one image on the network's grid, and are augmented each in its own way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from hybridseg.transforms import (
    augmentation,
    channel_preprocessing,
    ct_preprocessing,
    mri_preprocessing,
    postprocessing,
)
from hybridseg.transforms.phantoms import phantom

PETCT = {"CT": "CT", "PET": "PET"}
WINDOW = (-200, 300)
SPACING = (5.0, 4.0, 4.0)
KEYS = ("image", "label")


def apply(pipeline: Any, data: Any) -> Any:
    """Run a pipeline; MONAI does not annotate the type of its result."""
    return pipeline(data)


def write(path: Path, voxels: np.ndarray, affine: np.ndarray) -> str:
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return str(path)


@pytest.fixture(scope="module")
def petct(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A phantom CT with its labels, and the uptake of organ 1 on a grid of twice the voxel size that lacks the feet."""
    folder = tmp_path_factory.mktemp("petct")
    scan = phantom(5, spacing=SPACING, orientation="RAS")
    uptake = np.where(scan.label == 1, 8.0, np.where(scan.image > -500, 1.0, 0.0)).astype(np.float32)
    coarse = uptake[::2, ::2, 1::2]
    step = np.diag([2, 2, 2, 1]).astype(float)
    step[2, 3] = 1
    files = {
        "ct": write(folder / "a_0000.nii.gz", scan.image, scan.affine),
        "pet": write(folder / "a_0001.nii.gz", coarse, scan.affine @ step),
        "shared": write(folder / "shared.nii.gz", uptake, scan.affine),
        "label": write(folder / "label.nii.gz", scan.label, scan.affine),
        "pet_label": write(folder / "pet_label.nii.gz", scan.label[::2, ::2, 1::2], scan.affine @ step),
    }
    return files


def test_each_channel_is_on_the_grid_of_the_first(petct: dict[str, Any]) -> None:
    pipeline = channel_preprocessing(KEYS, spacing=SPACING, modalities=PETCT, windows={"CT": WINDOW})
    case = apply(pipeline, {"image": [petct["ct"], petct["pet"]], "label": petct["label"]})
    image, label = case["image"].as_tensor(), case["label"].as_tensor()
    alone = apply(
        ct_preprocessing(KEYS, spacing=SPACING, window=WINDOW), {"image": petct["ct"], "label": petct["label"]}
    )
    assert set(case) == set(KEYS)
    assert torch.equal(image[:1], alone["image"].as_tensor())
    assert torch.equal(label, alone["label"].as_tensor())
    np.testing.assert_array_equal(case["image"].affine, alone["image"].affine)
    assert image[1][label[0] == 1].mean() > 1.2  # 1.6 inside, less at the surface
    assert image[1][label[0] == 0].mean() < 0.3
    assert image[1].max() == pytest.approx(1.6)


def test_pet_is_interpolated_straight_from_its_own_voxels(petct: dict[str, Any]) -> None:
    spacing = tuple(2 * length for length in SPACING)
    image = [petct["pet"], petct["ct"]]
    pipeline = channel_preprocessing(
        ["image"], spacing=spacing, modalities={"PET": "PET", "CT": "CT"}, windows={"CT": WINDOW}
    )
    case = apply(pipeline, {"image": image})
    voxels = np.asarray(nib.Nifti1Image.from_filename(petct["pet"]).dataobj)
    np.testing.assert_allclose(case["image"][0], voxels / 5, atol=1e-6)
    every_second = np.asarray(nib.Nifti1Image.from_filename(petct["ct"]).dataobj)[::2, ::2, 1::2]
    windowed = (every_second.clip(*WINDOW) - 50.0) / 250
    np.testing.assert_allclose(case["image"][1], windowed, atol=1e-5)


def test_channels_on_one_grid_need_no_interpolation(petct: dict[str, Any]) -> None:
    pipeline = channel_preprocessing(KEYS, spacing=(6, 6, 6), modalities=PETCT, windows={"CT": WINDOW}, crop_margin=2)
    case = apply(pipeline, {"image": [petct["ct"], petct["shared"]], "label": petct["label"]})
    alone = ct_preprocessing(KEYS, spacing=(6, 6, 6), window=WINDOW, crop_margin=2)
    expected = apply(alone, {"image": petct["ct"], "label": petct["label"]})
    torch.testing.assert_close(case["image"][:1].as_tensor(), expected["image"].as_tensor())
    assert torch.equal(case["label"].as_tensor(), expected["label"].as_tensor())


def test_label_map_on_the_grid_of_the_pet_is_used(petct: dict[str, Any]) -> None:
    pipeline = channel_preprocessing(KEYS, spacing=SPACING, modalities=PETCT, windows={"CT": WINDOW}, crop_margin=0)
    fine, coarse = (
        apply(pipeline, {"image": [petct["ct"], petct["pet"]], "label": petct[name]})["label"][0].as_tensor()
        for name in ("label", "pet_label")
    )
    assert fine.shape == coarse.shape
    both = ((fine == 1) & (coarse == 1)).sum()
    assert 2 * both / ((fine == 1).sum() + (coarse == 1).sum()) > 0.75


@pytest.mark.parametrize("grid_of", [0, 1])
def test_results_are_on_the_grid_of_the_chosen_channel(petct: dict[str, Any], tmp_path: Path, grid_of: int) -> None:
    pipeline = channel_preprocessing(
        KEYS, spacing=(6, 5, 5), modalities=PETCT, windows={"CT": WINDOW}, crop_margin=1, grid_of=grid_of
    )
    case = apply(pipeline, {"image": [petct["ct"], petct["pet"]], "label": petct["label"]})
    logits = torch.nn.functional.one_hot(case["label"][0].long(), 6).movedim(-1, 0).float()
    apply(postprocessing(output_dir=str(tmp_path)), {"case": "a", "pred": logits, "image": case["image"]})
    found = nib.Nifti1Image.from_filename(tmp_path / "a.nii.gz")
    wanted = nib.Nifti1Image.from_filename(petct[("label", "pet_label")[grid_of]])
    np.testing.assert_array_equal(found.affine, wanted.affine)
    voxels, truth = (np.asarray(file.dataobj) == 1 for file in (found, wanted))
    assert 2 * (voxels & truth).sum() / (voxels.sum() + truth.sum()) > 0.9


def test_mri_channels_may_have_grids_of_their_own(petct: dict[str, Any]) -> None:
    pipeline = mri_preprocessing(["image"], spacing=(5, 5, 5), channels=2, bias_correction=True)
    image = apply(pipeline, {"image": [petct["shared"], petct["pet"]]})["image"]
    body = image[0] > 0
    assert len(image) == 2
    assert np.corrcoef(image[0][body], image[1][body])[0, 1] > 0.7


def test_each_channel_is_changed_by_itself() -> None:
    image = torch.randn(2, 12, 12, 12)
    case = {"image": MetaTensor(image), "label": MetaTensor(torch.ones(1, 12, 12, 12))}
    still: dict[str, Any] = {
        "rotation": (0.0, 0.0, 0.0),
        "scaling": 0.0,
        "patch_size": (12, 12, 12),
        "patches": 20,
    }
    pipeline = augmentation(**still, intensity=3.0, modalities=["CT", "PET"], padding=[-1.0, 0.0])
    pipeline.set_random_state(0)
    patches = apply(pipeline, case)
    assert set(patches[0]) >= {"image", "label"}
    assert not {"image_0", "image_1"} & set(patches[0])
    changed = [tuple(not torch.equal(patch["image"][index], image[index]) for index in (0, 1)) for patch in patches]
    assert {(True, False), (False, True)} <= set(changed)


def test_small_volume_is_padded_with_the_air_of_each_channel() -> None:
    case = {"image": MetaTensor(torch.randn(2, 8, 8, 8)), "label": MetaTensor(torch.ones(1, 8, 8, 8))}
    pipeline = augmentation(
        patch_size=(12, 12, 12), intensity=0.0, rotation=(0.0, 0.0, 0.0), scaling=0.0, padding=[-1.0, 0.5]
    )
    (patch,) = apply(pipeline, case)
    assert patch["image"][:, 0, 0, 0].tolist() == [-1.0, 0.5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modalities": {}}, "modalities: none: must be one for each channel"),
        ({"modalities": {"CT": "HU"}}, "modalities: 'HU': must be one of CT, PET, MRI"),
        ({"modalities": {"CT": "CT"}}, "window: None: must be two HU"),
        ({"modalities": {"PET": "PET"}, "windows": {"CT": WINDOW}}, "windows: 'CT': must be a channel: PET"),
        ({"modalities": {"PET": "PET"}, "grid_of": 1}, "grid_of: 1: must be the number of a channel, 0 to 0"),
    ],
)
def test_invalid_options_are_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        channel_preprocessing(spacing=SPACING, **options)
