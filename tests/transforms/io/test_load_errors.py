"""Volumes that cannot be segmented give a one-line error that names the file, the value and the rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from hybridseg.transforms import LoadVolumed, VolumeError

from .volume_files import AFFINE, SHAPE, VOXELS, Array, change_header, load, load_labels, write_itk, write_nifti

LARGE = np.random.default_rng(0).integers(-1000, 1000, (20, 20, 20)).astype(np.int16)
"""Larger than the part that nibabel reads to recognise a file."""


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


INVALID: dict[str, tuple[Callable[[Path], Path], str]] = {
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


@pytest.mark.parametrize("kind", INVALID)
def test_invalid_file_gives_a_one_line_error_with_its_path(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write, message = INVALID[kind]
    path = write(tmp_path)
    with pytest.raises(VolumeError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")  # no library prints anything


def test_constant_channel_is_named(tmp_path: Path) -> None:
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
def test_invalid_labels_are_errors(tmp_path: Path, labels: Array, message: str) -> None:
    with pytest.raises(VolumeError, match=message):
        load_labels(write_nifti(tmp_path / "labels.nii", labels))


@pytest.mark.parametrize(
    ("shape", "shift", "message"),
    [
        ((7, 6, 4), 0.0, r"labels.nii: shape \(7, 6, 4\) instead of \(7, 6, 5\): must be on the grid of .*image.nii"),
        (SHAPE, 1.0, r"labels.nii: affine that places voxels up to 1 mm elsewhere: must be on the grid of .*image.nii"),
    ],
)
def test_labels_on_another_grid_are_errors(tmp_path: Path, shape: tuple[int, ...], shift: float, message: str) -> None:
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
