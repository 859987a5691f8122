"""Pipelines on real files: the network's input has the right geometry and intensities."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import CacheDataset, MetaTensor
from monai.transforms import Compose
from nibabel.affines import apply_affine
from nibabel.orientations import aff2axcodes

from hybridseg.app.runtime.console import one_line
from hybridseg.transforms import augmentation, ct_preprocessing, mri_preprocessing, postprocessing
from hybridseg.transforms.phantoms import phantom


def apply(pipeline: Compose, data: Any) -> Any:
    """Run a pipeline; MONAI does not annotate the type of its result."""
    return pipeline(data)


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> dict[str, str]:
    """A phantom CT of 5 x 4 x 4 mm with axes posterior, inferior, right."""
    folder = tmp_path_factory.mktemp("phantom")
    scan = phantom(5, spacing=(5.0, 4.0, 4.0), orientation="PIR")
    paths = {"image": folder / "image.nii.gz", "label": folder / "label.nii.gz"}
    nib.save(nib.Nifti1Image(scan.image, scan.affine), paths["image"])
    nib.save(nib.Nifti1Image(scan.label, scan.affine), paths["label"])
    return {key: str(path) for key, path in paths.items()}


def test_ct_is_oriented_resampled_and_windowed(case):
    done = apply(ct_preprocessing(["image", "label"], spacing=(4, 4, 4), window=(-200, 300)), case)
    image, label = done["image"], done["label"]
    assert aff2axcodes(image.affine) == ("R", "A", "S")
    np.testing.assert_allclose(image.pixdim, 4, atol=1e-5)
    assert image.shape == label.shape
    assert image.min() == -1
    assert image.max() == 1
    assert set(label.unique().tolist()) == {0, 1, 2, 3, 4, 5}


def test_label_stays_on_its_organ(case):
    """The centre of mass of the liver in mm is the same before and after."""
    file = nib.Nifti1Image.from_filename(case["label"])
    before = apply_affine(file.affine, np.argwhere(np.asarray(file.dataobj) == 1)).mean(axis=0)
    label = apply(ct_preprocessing(["image", "label"], spacing=(3, 3, 3), window=(-200, 300)), case)["label"]
    after = apply_affine(label.affine.numpy(), np.argwhere(label[0].numpy() == 1)).mean(axis=0)
    np.testing.assert_allclose(after, before, atol=1.0)


def test_cropping_a_scan_of_air_is_an_error(tmp_path):
    air = np.random.default_rng(0).integers(-1010, -990, (8, 8, 8)).astype(np.int16)
    nib.save(nib.Nifti1Image(air, np.eye(4)), tmp_path / "air.nii.gz")
    pipeline = ct_preprocessing(["image"], spacing=(1, 1, 1), window=(-200, 300), crop_margin=2)
    with pytest.raises(RuntimeError) as caught:
        apply(pipeline, {"image": str(tmp_path / "air.nii.gz")})
    assert one_line(caught.value) == f"{tmp_path / 'air.nii.gz'}: no voxel brighter than air: there must be a body"


def test_label_without_a_class_is_an_error(case):
    pipeline = ct_preprocessing(["image", "label"], spacing=(4, 4, 4), labels=range(1, 5), window=(-200, 300))
    with pytest.raises(RuntimeError) as caught:
        apply(pipeline, case)
    assert "label.nii.gz: labels 5: must be among 0, 1, 2, 3, 4" in str(caught.value.__cause__)


def test_crop_keeps_the_body(case):
    full, cropped = (
        apply(ct_preprocessing(["image"], spacing=(4, 4, 4), window=(-200, 300), crop_margin=margin), case)["image"]
        for margin in (None, 1)
    )
    assert cropped.numel() < full.numel()
    assert (cropped > -1).sum() == (full > -1).sum()


def test_mri_intensity_scale_does_not_matter(data_dir, tmp_path):
    path = data_dir / "Task04_Hippocampus/imagesTr/hippocampus_001.nii.gz"
    file = nib.Nifti1Image.from_filename(path)
    scaled = tmp_path / "scaled.nii.gz"
    nib.save(nib.Nifti1Image(1000 * file.get_fdata(dtype=np.float32) + 50, file.affine), scaled)
    pipeline = mri_preprocessing(["image"], spacing=(1, 1, 1))
    torch.testing.assert_close(
        apply(pipeline, {"image": str(path)})["image"].as_tensor(),
        apply(pipeline, {"image": str(scaled)})["image"].as_tensor(),
        rtol=1e-3,
        atol=1e-3,
    )


def test_patches_have_the_right_size_and_integer_labels(case):
    preprocessing = ct_preprocessing(["image", "label"], spacing=(4, 4, 4), window=(-200, 300))
    patches = apply(augmentation(patch_size=(32, 40, 112), patches=3, flip_axes=[0]), preprocessing(case))
    assert len(patches) == 3
    for patch in patches:
        assert type(patch["image"]) is torch.Tensor
        assert patch["image"].shape == patch["label"].shape == (1, 32, 40, 112)
        assert set(patch["label"].unique().tolist()) <= {0, 1, 2, 3, 4, 5}


def test_small_organs_are_sampled_as_often_as_large_ones():
    labels = torch.zeros(1, 30, 30, 30)
    labels[0, 5:25, 5:15, 5:25] = 1
    labels[0, 20:22, 20:22, 20:22] = 2
    pipeline = augmentation(patch_size=(3, 3, 3), patches=400, rotation=(0.0, 0.0, 0.0), scaling=0.0)
    pipeline.set_random_state(0)
    case = {"image": MetaTensor(torch.randn(1, 30, 30, 30)), "label": MetaTensor(labels)}
    centres = torch.stack([patch["label"][0, 1, 1, 1] for patch in apply(pipeline, case)])
    large, small = ((centres == label).float().mean().item() for label in (1, 2))
    assert 0.2 < small < 0.3  # each of the two gets a quarter, the background the rest
    assert 0.2 < large < 0.3  # the third label, which does not occur, gets none


def test_case_without_labels_gives_background_patches():
    case = {"image": MetaTensor(torch.randn(1, 20, 20, 20)), "label": MetaTensor(torch.zeros(1, 20, 20, 20))}
    patches = apply(augmentation(patch_size=(8, 8, 8), patches=3), case)
    assert [patch["label"].max() for patch in patches] == [0, 0, 0]


def test_rotated_label_follows_the_rotated_image():
    """The image is the depth below the surface of two balls, so it gives their position after any rotation."""
    grid = torch.stack(torch.meshgrid(*[torch.arange(40.0)] * 3, indexing="ij"))
    small, large = (
        radius - (grid - torch.tensor(centre).view(3, 1, 1, 1)).norm(dim=0)
        for radius, centre in ((7.3, (9.0, 20.0, 19.0)), (10.6, (28.0, 20.0, 21.0)))
    )
    case = {"image": torch.maximum(small, large)[None], "label": ((small > 0) + 2 * (large > 0))[None].float()}
    pipeline = augmentation(patch_size=(40, 40, 40), patches=8, intensity=0.0).set_random_state(0)
    wrong = surface = 0
    for patch in apply(pipeline, {key: MetaTensor(volume) for key, volume in case.items()}):
        assert set(patch["label"].unique().tolist()) == {0, 1, 2}
        wrong += ((patch["label"] > 0) != (patch["image"] > 0)).sum().item()
        surface += (patch["image"].abs() < 0.5).sum().item()
    assert wrong < 0.08 * surface  # 0.06; nearest-neighbour labels give 0.10


def test_small_volume_is_padded_with_air(case):
    done = apply(ct_preprocessing(["image", "label"], spacing=(4, 4, 4), window=(-200, 300)), case)
    size = [length + 8 for length in done["image"].shape[1:]]
    pipeline = Compose(
        augmentation(patch_size=size, intensity=0.0, rotation=(0.0, 0.0, 0.0), scaling=0.0, padding=-1.0).transforms
    )
    (patch,) = apply(pipeline, done)
    assert (patch["image"][:, :4] == -1).all()
    assert (patch["label"][:, :4] == 0).all()


def test_cached_cases_are_augmented_anew(case):
    """CacheDataset finds the first random transform of a flat pipeline; of a nested one, it would cache the patches."""
    pipeline = Compose(
        [
            ct_preprocessing(["image", "label"], spacing=(4, 4, 4), window=(-200, 300)),
            augmentation(patch_size=(32, 32, 32)),
        ]
    ).flatten()
    dataset: Any = CacheDataset([case], pipeline, progress=False)
    first, second = dataset[0][0]["image"], dataset[0][0]["image"]
    assert not torch.equal(first, second)


def test_perfect_prediction_is_restored_to_the_file_grid(case, tmp_path):
    done = apply(ct_preprocessing(["image", "label"], spacing=(2.5, 2.5, 2.5), window=(-200, 300), crop_margin=2), case)
    logits = torch.nn.functional.one_hot(done["label"][0].long(), 6).movedim(-1, 0).float()
    labels = apply(postprocessing(output_dir=str(tmp_path)), {"pred": logits, "image": done["image"]})["pred"]
    reference, written = (
        nib.Nifti1Image.from_filename(case["label"]),
        nib.Nifti1Image.from_filename(tmp_path / "image.nii.gz"),
    )
    np.testing.assert_array_equal(written.affine, reference.affine)
    reference_voxels, voxels = (np.asarray(file.dataobj) for file in (reference, written))
    np.testing.assert_array_equal(voxels, labels[0])
    for organ in range(1, 6):
        overlap = 2 * np.sum((voxels == organ) & (reference_voxels == organ))
        assert overlap / (np.sum(voxels == organ) + np.sum(reference_voxels == organ)) > 0.93


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": (0, 1), "spacing": (4, 4)}, r"spacing: \[4, 4\]: must be three positive lengths in mm"),
        ({"window": (0, 1), "crop_margin": -1}, "crop_margin: -1: must not be negative"),
        ({"window": (300, -200)}, "window: 300 to -200 HU: the highest must be above the lowest"),
        ({"window": (0, 1), "keys": ["label"]}, r"keys: \['label'\]: must be 'image', or 'image' and 'label'"),
    ],
)
def test_invalid_options_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        ct_preprocessing(**{"spacing": (4, 4, 4), **options})
