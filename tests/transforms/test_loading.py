"""Volumes are loaded with their geometry, and those that cannot be segmented are refused."""

import gzip
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hybridseg.transforms import LoadVolumed, VolumeError
from hybridseg.transforms.headers import read_header

Array = NDArray[Any]

SHAPE = (7, 6, 5)
VOXELS = np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)
LARGE = np.random.default_rng(0).integers(-1000, 1000, (20, 20, 20)).astype(np.int16)
"""More than nibabel reads to recognise a file."""

AFFINE = np.array([[0, -2.0, 0, 5], [1.5, 0, 0, 7], [0, 0, 3, -20], [0, 0, 0, 1]])


def write_nifti(path: Path, voxels: Array = VOXELS, affine: Array = AFFINE, kind: Any = nib.Nifti1Image) -> Path:
    nib.save(kind(voxels, affine), path)
    return path


def write_itk(path: Path, voxels: Array, affine: Array, *, compressed: bool = False) -> Path:
    """Write voxels (X, Y, Z) or (X, Y, Z, C) at an affine to RAS mm of right-angled axes."""
    image = sitk.GetImageFromArray(np.moveaxis(voxels, (0, 1, 2), (2, 1, 0)), isVector=voxels.ndim == 4)
    lps = np.diag([-1.0, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(image, path, useCompression=compressed)
    return path


def load(path: Path | str, **options: Any) -> MetaTensor:
    image = LoadVolumed("image", **options)({"image": path})["image"]
    assert isinstance(image, MetaTensor)
    return image


def load_labels(path: Path) -> MetaTensor:
    labels = LoadVolumed("label")({"label": path})["label"]
    assert isinstance(labels, MetaTensor)
    return labels


# What is loaded


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


def test_simpleitk_writes_the_same_place_as_nifti_and_nrrd(tmp_path: Path) -> None:
    first, second = (load(write_itk(tmp_path / name, VOXELS, AFFINE)) for name in ("a.nii.gz", "a.nrrd"))
    np.testing.assert_array_equal(first.numpy(), second.numpy())
    np.testing.assert_allclose(first.affine, second.affine, atol=1e-5)


@pytest.mark.parametrize("voxel_type", ["int8", "uint8", "int16", "uint16", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "a.nrrd"])
def test_every_real_voxel_type(tmp_path: Path, voxel_type: str, name: str) -> None:
    voxels = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 120
    path = tmp_path / name
    if name == "a.nii.gz":
        nib.save(nib.Nifti1Image(voxels.astype(voxel_type), AFFINE, dtype=voxel_type), path)
    else:
        write_itk(path, voxels.astype(voxel_type), AFFINE)
    np.testing.assert_array_equal(load(path).numpy()[0], voxels)


def test_scaled_and_big_endian_nifti(tmp_path: Path) -> None:
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


def test_one_slice_is_a_volume(tmp_path: Path) -> None:
    assert load(write_nifti(tmp_path / "a.nii", VOXELS[:, :, :1])).shape == (1, 7, 6, 1)


def test_axes_of_any_direction_keep_negative_and_sheared_affines(tmp_path: Path) -> None:
    sheared = AFFINE @ np.array([[-1, 0.3, 0, 0], [0, 1, 0.2, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(load(write_nifti(tmp_path / "a.nii", affine=sheared)).affine, sheared, rtol=1e-6)


def test_sform_wins_even_where_pixdim_disagrees(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_nifti(tmp_path / "a.nii")
    change_header(path, pixdim=[1, 0, 9, 9, 1, 1, 1, 1])
    np.testing.assert_allclose(load(path).affine, AFFINE)
    assert capfd.readouterr().err == ""  # nibabel would tell about its repair


def test_labels_are_integers_and_may_be_all_zero(tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    assert not load_labels(write_nifti(tmp_path / "zero.nii", labels)).any()
    labels[1, 2, 3] = 4
    image = nib.Nifti1Image(labels, AFFINE)
    image.header.set_slope_inter(0.1, 0)  # 0.1 has no exact form: voxels come as 0.4000000059604645
    nib.save(image, tmp_path / "scaled.nii")
    with pytest.raises(VolumeError, match=r"1 labels such as 0.4: labels must be integers"):
        load_labels(tmp_path / "scaled.nii")
    image.header.set_slope_inter(np.float32(1) - np.float32(1e-6), 0)
    nib.save(image, tmp_path / "scaled.nii")
    assert load_labels(tmp_path / "scaled.nii").unique().tolist() == [0, 4]


def test_missing_keys_are_allowed_only_when_said(tmp_path: Path) -> None:
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
def test_torso_is_loaded_as_nibabel_does(data_dir: Path, name: str) -> None:
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


# What is refused


def change_header(path: Path, **fields: Any) -> Path:
    """Overwrite fields of an uncompressed NIfTI-1 header."""
    content = path.read_bytes()
    header = np.frombuffer(content[:348], dtype=nib.Nifti1Header.template_dtype).copy()
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.tobytes() + content[348:])
    return path


def damage(path: Path, *, keep: float = 1.0, drop: int = 0, flip: int | None = None) -> Path:
    content = bytearray(path.read_bytes())
    if flip is not None:
        content[flip] ^= 1
    path.write_bytes(content[: int(len(content) * keep) - drop])
    return path


def zero_axis(column: list[float]) -> Array:
    affine = AFFINE.copy()
    affine[:3, 0] = column
    return affine


def with_value(value: float, count: int = 1) -> Array:
    voxels = VOXELS.astype(np.float32)
    voxels.flat[:count] = value
    return voxels


def write_text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def edit_mha(folder: Path, old: str, new: str) -> Path:
    path = write_itk(folder / "a.mha", VOXELS, np.diag([-1.0, -1, 1, 1]))
    content = path.read_bytes()
    assert old.encode() in content
    path.write_bytes(content.replace(old.encode(), new.encode()))
    return path


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda f: f / "a.nii.gz", "not a file: must be a file that exists"),
    "folder": (lambda f: f, "no DICOM images: must hold the slices of a series"),
    "other format": (lambda f: write_text(f / "a.dcm", "DICM"), "extension '.dcm': must be one of"),
    "empty file": (lambda f: write_text(f / "a.nii", ""), "unreadable .*: must be a whole, readable volume"),
    "no gzip": (lambda f: write_text(f / "a.nii.gz", "hello"), r"unreadable \(.*\): must be a whole, readable volume"),
    "text as nrrd": (lambda f: write_text(f / "a.nrrd", "hello"), r"unreadable \(.*\): must be a whole"),
    "text as mha": (lambda f: write_text(f / "a.mha", "hello"), r"unreadable \(.*\): must be a whole"),
    "wrong magic": (lambda f: change_header(write_nifti(f / "a.nii"), magic=b"abc"), r"unreadable \(.*\): must be"),
    "unknown type": (lambda f: change_header(write_nifti(f / "a.nii"), datatype=7), r"unreadable \(.*code 7.*\)"),
    "truncated nii": (lambda f: damage(write_nifti(f / "a.nii"), drop=1), "is 420 bytes, at most 419 are there"),
    "truncated header": (lambda f: damage(write_nifti(f / "a.nii"), keep=0.3), r"unreadable \(.*\)"),
    "truncated gz": (lambda f: damage(write_nifti(f / "a.nii.gz"), keep=0.7), r"unreadable \(.*\): must be a whole"),
    "gz without its last byte": (
        lambda f: damage(write_nifti(f / "a.nii.gz", LARGE), drop=1),
        r"unreadable \(Compressed",
    ),
    "gz of another checksum": (
        lambda f: damage(write_nifti(f / "a.nii.gz", LARGE), flip=-6),
        r"unreadable \(CRC check",
    ),
    "truncated nrrd": (
        lambda f: damage(write_itk(f / "a.nrrd", VOXELS, AFFINE), drop=2),
        "is 420 bytes, at most 418 are there: must be a whole, readable volume",
    ),
    "truncated mha": (lambda f: damage(write_itk(f / "a.mha", VOXELS, AFFINE), drop=2), "is 420 bytes, at most 418"),
    "damaged mha": (
        lambda f: damage(write_itk(f / "a.mha", VOXELS, AFFINE, compressed=True), flip=-3),
        r"unreadable \(.*incorrect data check\)",
    ),
    "mhd without its data": (
        lambda f: lose_raw(write_itk(f / "a.mhd", VOXELS, AFFINE)),
        r"unreadable \(its data file a.raw does not",
    ),
    "complex": (
        lambda f: write_nifti(f / "a.nii", VOXELS.astype(np.complex64)),
        "complex64 voxels: voxels must be real",
    ),
    "complex nrrd": (lambda f: write_complex_nrrd(f / "a.nrrd"), "complex of 32-bit float voxels: voxels must be real"),
    "RGB": (lambda f: change_header(write_nifti(f / "a.nii"), datatype=128, bitpix=24), "RGB voxels: voxels must be"),
    "2D": (lambda f: write_nifti(f / "a.nii", VOXELS[:, :, 0]), r"2 dimensions \(7, 6\): must have 3, or 4"),
    "2D mha": (lambda f: write_flat_mha(f / "a.mha"), r"2 dimensions \(6, 7\): must have 3, or 4 with channels last"),
    "5D": (lambda f: write_nifti(f / "a.nii", np.ones((3, 4, 5, 2, 2), np.int16)), r"5 dimensions .*: must have 3"),
    "time series": (lambda f: write_nifti(f / "a.nii", np.ones((3, 4, 5, 9), np.int16)), r"9 channels .*: must have 1"),
    "vector mha": (lambda f: write_itk(f / "a.mha", np.ones((3, 4, 5, 3)), AFFINE), r"3 channels .*: must have 1"),
    "no voxels": (lambda f: change_header(write_nifti(f / "a.nii"), dim=[3, 7, 0, 5, 1, 1, 1, 1]), "every axis must"),
    "no voxels in mha": (lambda f: edit_mha(f, "DimSize = 7 6 5", "DimSize = 7 6 0"), r"shape \(7, 6, 0\): every axis"),
    "negative size": (lambda f: change_header(write_nifti(f / "a.nii"), dim=[3, 7, -6, 5, 1, 1, 1, 1]), "every axis"),
    "negative size in mha": (lambda f: edit_mha(f, "DimSize = 7 6 5", "DimSize = -7 6 5"), "at most 420 are there"),
    "zero affine": (lambda f: write_sform(f / "a.nii", np.diag([0.0, 0, 0, 1])), "voxels of 0 x 0 x 0 mm: the affine"),
    "zero axis": (lambda f: write_sform(f / "a.nii", zero_axis([0, 0, 0])), "voxels of 0 x 2 x 3 mm: the affine must"),
    "zero spacing in mha": (
        lambda f: edit_mha(f, "ElementSpacing = 1 1 1", "ElementSpacing = 0 1 1"),
        "voxels of 0 x 1 x 1 mm: the affine",
    ),
    "zero pixdim without forms": (
        lambda f: change_header(write_nifti(f / "a.nii"), pixdim=[1, 0, 2, 3, 1, 1, 1, 1], sform_code=0),
        "voxels of 0 x 2 x 3 mm: the affine must be finite and its three axes independent",
    ),
    "singular affine": (
        lambda f: write_sform(f / "a.nii", zero_axis([-4, 0, 0])),
        "singular affine .*: the affine must",
    ),
    "singular mha": (
        lambda f: edit_mha(f, "TransformMatrix = 1 0 0 0 1 0", "TransformMatrix = 1 0 0 1 0 0"),
        "the affine must be finite and its three axes independent",
    ),
    "affine of NaN": (
        lambda f: write_sform(f / "a.nii", zero_axis([np.nan, 1, 1])),
        "affine with NaN or infinity: the",
    ),
    "NaN": (lambda f: write_nifti(f / "a.nii", with_value(np.nan, 3)), "3 of 210 voxels are NaN or infinite: every"),
    "infinity": (lambda f: write_itk(f / "a.mha", with_value(-np.inf), AFFINE), "1 of 210 voxels are NaN or infinite"),
    "beyond float32": (lambda f: write_nifti(f / "a.nii", VOXELS * 1e300), "voxels are NaN or infinite: every voxel"),
    "all zero": (lambda f: write_nifti(f / "a.nii", VOXELS * 0), "all voxels are 0: voxels must differ"),
    "all the same": (lambda f: write_itk(f / "a.nrrd", VOXELS * 0 - 1024, AFFINE), "all voxels are -1024: voxels must"),
}


def lose_raw(path: Path) -> Path:
    path.with_suffix(".raw").unlink()
    return path


def write_flat_mha(path: Path) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS[:, :, 0]), path)
    return path


def write_complex_nrrd(path: Path) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS.astype(np.complex64)), path)
    return path


def write_sform(path: Path, affine: Array) -> Path:
    return change_header(write_nifti(path), srow_x=affine[0], srow_y=affine[1], srow_z=affine[2])


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_in_one_line_that_names_the_file(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    write, message = REFUSED[kind]
    path = write(tmp_path)
    with pytest.raises(VolumeError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")  # no library prints beside it


def test_one_constant_channel_is_named(tmp_path: Path) -> None:
    voxels = np.stack([VOXELS, np.zeros_like(VOXELS)], axis=-1)
    with pytest.raises(VolumeError, match="all voxels are 0 in channel 1"):
        load(write_nifti(tmp_path / "a.nii", voxels), channels=2)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full(SHAPE, 1.5, np.float32), "210 labels such as 1.5: labels must be integers"),
        (np.full(SHAPE, -1, np.int16), "labels from -1 to -1: must be from 0 to 65535"),
        (np.full(SHAPE, 70000, np.int32), "labels from 70000 to 70000: must be from 0 to 65535"),
        (np.full(SHAPE, np.nan, np.float32), "210 of 210 voxels are NaN or infinite"),
        (np.zeros((*SHAPE, 2), np.uint8), r"2 channels \(shape \(7, 6, 5, 2\)\): must have 1"),
    ],
)
def test_label_values(tmp_path: Path, labels: Array, message: str) -> None:
    with pytest.raises(VolumeError, match=message):
        load_labels(write_nifti(tmp_path / "labels.nii", labels))


@pytest.mark.parametrize(
    ("shape", "shift", "message"),
    [
        ((7, 6, 4), 0.0, r"labels.nii: shape \(7, 6, 4\) instead of \(7, 6, 5\): must be on the grid of .*image.nii"),
        (SHAPE, 1.0, r"labels.nii: affine that places voxels up to 1 mm elsewhere: must be on the grid of .*image.nii"),
    ],
)
def test_labels_must_be_on_the_grid_of_the_image(
    tmp_path: Path, shape: tuple[int, ...], shift: float, message: str
) -> None:
    affine = AFFINE.copy()
    affine[2, 3] += shift
    image = write_nifti(tmp_path / "image.nii")
    labels = write_nifti(tmp_path / "labels.nii", np.zeros(shape, np.uint8), affine)
    with pytest.raises(VolumeError, match=message):
        LoadVolumed(("image", "label"))({"image": image, "label": labels})


def test_label_grid_may_differ_by_rounding(tmp_path: Path) -> None:
    image = write_nifti(tmp_path / "image.nii")
    labels = write_nifti(tmp_path / "labels.nii", np.zeros(SHAPE, np.uint8), AFFINE * (1 + 1e-5))
    LoadVolumed(("image", "label"))({"image": image, "label": labels})


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha", "a.nrrd"])
def test_a_tiny_file_that_claims_a_huge_volume_allocates_nothing(tmp_path: Path, name: str) -> None:
    if name.startswith("a.nii"):
        path = change_header(write_nifti(tmp_path / "a.nii"), dim=[3, 32767, 32767, 32767, 1, 1, 1, 1])
        if name == "a.nii.gz":
            (tmp_path / name).write_bytes(gzip.compress(path.read_bytes()))
    else:
        path = write_itk(tmp_path / name, VOXELS, AFFINE)
        path.write_bytes(path.read_bytes().replace(b"7 6 5", b"32767 32767 32767"))
    tracemalloc.start()
    with pytest.raises(VolumeError, match=r"shape \(32767, 32767, 32767\) of .* is 70362301923326 bytes, at most"):
        load(tmp_path / name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


def test_header_of_a_whole_volume_is_within_its_capacity(tmp_path: Path) -> None:
    for path in (
        write_nifti(tmp_path / "a.nii"),
        write_nifti(tmp_path / "a.nii.gz"),
        write_itk(tmp_path / "a.mha", VOXELS, AFFINE),
    ):
        header = read_header(path)
        assert header.voxel_bytes == VOXELS.nbytes
        assert header.capacity is not None
        assert header.capacity >= header.voxel_bytes
