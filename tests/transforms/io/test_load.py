"""Volumes are loaded with their geometry, as float32 images and integer labels."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, decollate_batch
from scipy.spatial.transform import Rotation

from hybridseg.transforms import LoadVolumed, VolumeError, mri_preprocessing

from .volume_files import AFFINE, SHAPE, VOXELS, change_header, load, load_labels, write_itk, write_nifti


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.1.NII.GZ", "volumé.nii"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_nifti_keeps_its_axes_and_affine(tmp_path: Path, name: str, kind: Any) -> None:
    path = write_nifti(tmp_path / name, kind=kind)
    image = load(path)
    assert image.dtype == torch.float32
    np.testing.assert_array_equal(image.numpy(), VOXELS[None])
    np.testing.assert_allclose(image.affine, AFFINE)
    np.testing.assert_allclose(image.meta["original_affine"], AFFINE)
    assert tuple(image.meta["spatial_shape"]) == SHAPE
    assert image.meta["space"] == "RAS"
    assert image.meta["filename_or_obj"] == str(path)


@pytest.mark.parametrize("extension", [".nrrd", ".mha", ".mhd"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("angles", [(0, 0, 0), (0, 0, 180), (90, 0, 90), (11, -25, 40)])
def test_itk_formats_agree_with_nifti(
    tmp_path: Path, extension: str, compressed: bool, angles: tuple[float, float, float]
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * [0.7, 1.5, 3]
    affine[:3, 3] = [12, -34, 56]
    nifti = load(write_nifti(tmp_path / "a.nii.gz", affine=affine))
    other = load(write_itk(tmp_path / f"a{extension}", VOXELS, affine, compressed=compressed))
    np.testing.assert_array_equal(other.numpy(), nifti.numpy())
    np.testing.assert_allclose(other.affine, nifti.affine, atol=1e-5)
    np.testing.assert_allclose(other.affine, affine, atol=1e-5)
    assert tuple(other.meta["spatial_shape"]) == SHAPE


def test_simpleitk_nifti_and_nrrd_have_the_same_geometry(tmp_path: Path) -> None:
    first, second = (load(write_itk(tmp_path / name, VOXELS, AFFINE)) for name in ("a.nii.gz", "a.nrrd"))
    np.testing.assert_array_equal(first.numpy(), second.numpy())
    np.testing.assert_allclose(first.affine, second.affine, atol=1e-5)


@pytest.mark.parametrize("voxel_type", ["int8", "uint8", "int16", "uint16", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "a.nrrd"])
def test_every_real_voxel_type_is_loaded(tmp_path: Path, voxel_type: str, name: str) -> None:
    voxels = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 120
    path = tmp_path / name
    if name == "a.nii.gz":
        nib.save(nib.Nifti1Image(voxels.astype(voxel_type), AFFINE, dtype=voxel_type), path)
    else:
        write_itk(path, voxels.astype(voxel_type), AFFINE)
    np.testing.assert_array_equal(load(path).numpy()[0], voxels)


def test_scaled_big_endian_nifti_is_loaded(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VOXELS.astype(">i2"), AFFINE, nib.Nifti1Header(endianness=">"))
    image.header.set_slope_inter(0.5, 10)
    nib.save(image, tmp_path / "a.nii")
    assert (tmp_path / "a.nii").read_bytes()[:4] == struct.pack(">i", 348)
    np.testing.assert_array_equal(
        load(tmp_path / "a.nii").numpy()[0], np.asarray(nib.Nifti1Image.from_filename(tmp_path / "a.nii").dataobj)
    )


@pytest.mark.parametrize("axes", [(1,), (1, 1)])
def test_trailing_axes_of_one_voxel_are_dropped(tmp_path: Path, axes: tuple[int, ...]) -> None:
    image = load(write_nifti(tmp_path / "a.nii", VOXELS.reshape(*SHAPE, *axes)))
    np.testing.assert_array_equal(image.numpy(), VOXELS[None])
    assert tuple(image.meta["spatial_shape"]) == SHAPE


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize(
    ("kinds", "time"), [("list space space space", "first"), ("space space space time", "last"), ("", "last")]
)
def test_nrrd_with_one_time_is_loaded(tmp_path: Path, encoding: str, kinds: str, time: str) -> None:
    directions = ["(0,1.5,0)", "(2,0,0)", "(0,0,3)"]
    sizes = [str(size) for size in SHAPE]
    place = 0 if time == "first" else 3
    directions.insert(place, "none")
    sizes.insert(place, "1")
    lines = ["NRRD0004", "type: short", "dimension: 4", "space: right-anterior-superior", f"sizes: {' '.join(sizes)}"]
    lines += [f"space directions: {' '.join(directions)}", *([f"kinds: {kinds}"] if kinds else [])]
    lines += ["endian: little", f"encoding: {encoding}", "space origin: (1,2,3)", "", ""]
    voxels = VOXELS.tobytes(order="F")
    path = tmp_path / "a.nrrd"
    path.write_bytes("\n".join(lines).encode() + (gzip.compress(voxels) if encoding == "gzip" else voxels))
    image = load(path)
    np.testing.assert_array_equal(image.numpy(), VOXELS[None])
    affine = np.array([[0, 2, 0, 1], [1.5, 0, 0, 2], [0, 0, 3, 3], [0, 0, 0, 1]])
    np.testing.assert_allclose(image.affine, affine, atol=1e-9)


@pytest.mark.parametrize("name", ["four.nii.gz", "five.nii", "a.nrrd", "a.mha"])
@pytest.mark.parametrize("channels", [2, 6])
def test_fourth_axis_is_the_channels(tmp_path: Path, name: str, channels: int) -> None:
    voxels = np.random.default_rng(1).normal(size=(*SHAPE, channels)).astype(np.float32)
    if name.startswith("f"):  # NIfTI keeps vectors along its fifth axis
        path = write_nifti(tmp_path / name, voxels[:, :, :, None] if name.startswith("five") else voxels)
    else:
        path = write_itk(tmp_path / name, voxels, AFFINE)
    image = load(path, channels=channels)
    np.testing.assert_array_equal(image.numpy(), np.moveaxis(voxels, -1, 0))
    assert tuple(image.meta["spatial_shape"]) == SHAPE


def test_single_slice_is_loaded(tmp_path: Path) -> None:
    assert load(write_nifti(tmp_path / "a.nii", VOXELS[:, :, :1])).shape == (1, 7, 6, 1)


def test_sheared_and_flipped_affines_are_kept(tmp_path: Path) -> None:
    sheared = AFFINE @ np.array([[-1, 0.3, 0, 0], [0, 1, 0.2, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(load(write_nifti(tmp_path / "a.nii", affine=sheared)).affine, sheared, rtol=1e-6)


def test_sform_wins_over_pixdim(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_nifti(tmp_path / "a.nii")
    change_header(path, pixdim=[1, 0, 9, 9, 1, 1, 1, 1])
    np.testing.assert_allclose(load(path).affine, AFFINE)
    assert capfd.readouterr().err == ""  # nibabel would log its repair


def test_labels_are_integers_and_may_be_all_zero(tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    assert not load_labels(write_nifti(tmp_path / "zero.nii", labels)).any()
    labels[1, 2, 3] = 4
    image = nib.Nifti1Image(labels, AFFINE)
    image.header.set_slope_inter(0.1, 0)  # 0.1 is not exact in float32: voxels are read as 0.4000000059604645
    nib.save(image, tmp_path / "scaled.nii")
    with pytest.raises(VolumeError, match=r"1 labels such as 0.4: labels must be integers"):
        load_labels(tmp_path / "scaled.nii")
    image.header.set_slope_inter(np.float32(1) - np.float32(1e-6), 0)
    nib.save(image, tmp_path / "scaled.nii")
    assert load_labels(tmp_path / "scaled.nii").unique().tolist() == [0, 4]


def test_missing_keys_must_be_allowed(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii")
    assert set(LoadVolumed(("image", "label"), allow_missing_keys=True)({"image": path})) == {"image"}
    with pytest.raises(KeyError, match="label"):
        LoadVolumed(("image", "label"))({"image": path})


def test_channels_must_be_positive() -> None:
    with pytest.raises(ValueError, match="channels: 0: must be at least 1"):
        LoadVolumed("image", channels=0)


def test_formats_can_be_batched_together(tmp_path: Path) -> None:
    files = [write_nifti(tmp_path / "a.nii.gz"), write_itk(tmp_path / "b.mha", VOXELS, AFFINE)]
    dataset = Dataset([{"image": str(path)} for path in files], LoadVolumed("image"))
    batch = next(iter(DataLoader(dataset, batch_size=2)))
    items: Any = decollate_batch(batch)
    for item, path in zip(items, files, strict=True):
        np.testing.assert_allclose(item["image"].affine, AFFINE, atol=1e-6)
        assert item["image"].meta["filename_or_obj"] == str(path)


@pytest.mark.parametrize("name", ["ct", "ct_small", "mr_small"])
def test_torso_equals_nibabel(data_dir: Path, name: str) -> None:
    path = data_dir / "torso" / f"{name}.nii.gz"
    image, expected = load(path), nib.Nifti1Image.from_filename(path)
    np.testing.assert_array_equal(image.numpy()[0], np.asarray(expected.dataobj))
    np.testing.assert_array_equal(image.affine, expected.affine)


def test_hippocampus_image_and_label_share_a_grid(data_dir: Path) -> None:
    folder = data_dir / "Task04_Hippocampus"
    name = "hippocampus_001.nii.gz"
    case = LoadVolumed(("image", "label"))({"image": folder / "imagesTr" / name, "label": folder / "labelsTr" / name})
    assert case["image"].shape == case["label"].shape == (1, 35, 51, 35)
    assert case["label"].unique().tolist() == [0, 1, 2]


def test_rounding_keeps_image_and_label_on_one_grid(tmp_path: Path) -> None:
    """63 steps of 0.5 mm are 31.5 steps of 1 mm, which must be rounded alike for both."""
    voxels = np.random.default_rng(0).integers(0, 2, (64, 6, 5)).astype(np.uint8)
    case = {
        key: write_nifti(tmp_path / f"{key}.nii", voxels, np.diag([length, 1, 1, 1]))
        for key, length in (("image", 0.5), ("label", 0.49999997))
    }
    load_both: Any = mri_preprocessing(("image", "label"), spacing=(1, 1, 1))
    done = load_both(case)
    assert done["image"].shape == done["label"].shape
    np.testing.assert_array_equal(done["image"].affine, done["label"].affine)


def test_rounding_does_not_reorient_channels_differently(tmp_path: Path) -> None:
    """At 45 degrees, rounding is enough to change the nearest axis of the patient."""
    voxels = np.random.default_rng(0).integers(0, 100, (6, 6, 6)).astype(np.int16)
    files = []
    for name, degrees in (("a.nii", 45 - 1e-4), ("b.nii", 45 + 1e-4)):
        affine = np.eye(4)
        affine[:3, :3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
        files.append(write_nifti(tmp_path / name, voxels, affine))
    image = LoadVolumed("image", channels=2, orientation="RAS")({"image": files})["image"]
    np.testing.assert_array_equal(image[0], image[1])
