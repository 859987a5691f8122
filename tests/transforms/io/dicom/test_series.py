"""A DICOM series is read with its geometry, or gives an error with the reason."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from hybridseg.transforms import LoadVolumed, VolumeError
from hybridseg.transforms.io.dicom.series import DicomFolder, open_series

from .dicom_files import OBLIQUE, ORIGIN, SPACING, VOXELS, same_locale, write_series

AFFINE = np.diag([-1.0, -1, 1, 1]) @ np.block(
    [[OBLIQUE * np.array(SPACING), ORIGIN[:, None]], [np.zeros((1, 3)), np.ones((1, 1))]]
)


def load(source: object) -> tuple[np.ndarray, np.ndarray]:
    """Load the voxels (columns, rows, slices) and the affine of a series."""
    volume = LoadVolumed("image")({"image": source})["image"]
    return volume[0].numpy(), volume.affine.numpy()


@pytest.mark.parametrize("extension", [".dcm", "", ".5"])
def test_slices_are_sorted_by_position(tmp_path: Path, extension: str) -> None:
    write_series(tmp_path / "ct", extension=extension)
    (tmp_path / "ct" / "notes.txt").write_text("not DICOM")
    voxels, affine = load(tmp_path / "ct")
    np.testing.assert_array_equal(voxels, VOXELS)
    np.testing.assert_allclose(affine, AFFINE, atol=1e-5)


def test_slices_stored_downwards_give_the_same_grid(tmp_path: Path) -> None:
    """Slices are sorted along the normal of their plane, whatever their order in time."""
    downwards = ORIGIN - np.arange(5)[:, None] * SPACING[2] * OBLIQUE[:, 2]
    write_series(tmp_path / "ct", positions=downwards)
    voxels, affine = load(tmp_path / "ct")
    np.testing.assert_array_equal(voxels, VOXELS[:, :, ::-1])
    np.testing.assert_allclose(affine[:3, :3], AFFINE[:3, :3], atol=1e-5)


def test_empty_series_uid_is_a_series(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", tags={"0020|000e": ""})
    np.testing.assert_array_equal(load(tmp_path / "ct")[0], VOXELS)


def test_zip_is_read_like_a_folder(tmp_path: Path) -> None:
    files = write_series(tmp_path / "ct", extension="")
    with zipfile.ZipFile(tmp_path / "ct.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for index, file in enumerate(files):
            archive.write(file, f"../patient/{index}/IM1")  # one name in many folders, and a path leading outside
    voxels, affine = load(tmp_path / "ct.zip")
    np.testing.assert_array_equal(voxels, VOXELS)
    np.testing.assert_allclose(affine, AFFINE, atol=1e-5)
    assert not (tmp_path.parent / "patient").exists()


@pytest.mark.parametrize("series", ["1.2.4", "9"])
def test_series_is_chosen_by_uid_or_number(tmp_path: Path, series: str) -> None:
    write_series(tmp_path / "ct")
    other = VOXELS[::-1].copy()
    write_series(tmp_path / "ct", other, tags={"0020|000e": "1.2.4", "0020|0011": "9"}, start=100)
    np.testing.assert_array_equal(load(DicomFolder(tmp_path / "ct", series))[0], other)


def test_screen_capture_is_another_series(tmp_path: Path) -> None:
    """It has no position and is in colour; archives export it together with the displayed series."""
    colour(tmp_path / "ct")
    write_series(tmp_path / "ct")
    np.testing.assert_array_equal(load(DicomFolder(tmp_path / "ct", "4"))[0], VOXELS)
    with pytest.raises(VolumeError, match=r"ct: 2 series: choose one of .*1.2.3 \(number 4, CT, 5 slices\)"):
        load(tmp_path / "ct")


def several_series(folder: Path) -> None:
    write_series(folder)
    write_series(folder, tags={"0020|000e": "1.2.4", "0008|103e": "lung"}, start=100)


def missing_slice(folder: Path) -> None:
    write_series(folder)[2].unlink()


def moved(index: int, by: tuple[float, float, float]) -> Callable[[Path], object]:
    positions = ORIGIN + np.arange(5)[:, None] * SPACING[2] * OBLIQUE[:, 2]
    positions[index] += by
    return lambda folder: write_series(folder, positions=positions)


def tilted(degrees: float) -> Callable[[Path], object]:
    step = SPACING[2] * (OBLIQUE[:, 2] + np.tan(np.deg2rad(degrees)) * OBLIQUE[:, 1])
    return lambda folder: write_series(folder, positions=ORIGIN + np.arange(5)[:, None] * step)


def two_times(folder: Path) -> None:
    write_series(folder)
    write_series(folder, start=100)


def colour(folder: Path) -> None:
    folder.mkdir()
    image = sitk.JoinSeries([sitk.GetImageFromArray(np.zeros((4, 5, 3), np.uint8), isVector=True)])
    with same_locale():
        sitk.WriteImage(image, folder / "a.dcm")


def without_position(folder: Path) -> None:
    write_series(folder)
    file = folder / "a.dcm"
    (folder / "slice0.dcm").rename(file)
    position = b"\x20\x00\x32\x00"
    assert file.read_bytes().count(position) == 1
    file.write_bytes(file.read_bytes().replace(position, b"\x20\x00\x33\x00"))  # now another tag


def truncated(folder: Path) -> None:
    file = write_series(folder)[1]
    file.write_bytes(file.read_bytes()[:-60])


def other_shape(folder: Path) -> None:
    write_series(folder)
    write_series(folder, VOXELS[:-1], start=100)


def empty(folder: Path) -> None:
    folder.mkdir()


INVALID: dict[str, tuple[Callable[[Path], object], str]] = {
    "several series": (
        several_series,
        r"ct: 2 series: choose one of 1.2.3 \(number 4, CT, 5 slices\), 1.2.4 \(number 4, CT, 5 slices\)",
    ),
    "missing slice": (missing_slice, "slice3.dcm and slice4x.dcm are 5 mm apart, others 2.5 mm: slices must be evenly"),
    "uneven slices": (moved(3, tuple(0.8 * OBLIQUE[:, 2])), "mm apart, others .* mm: slices must be evenly spaced"),
    "tilt of 50 degrees": (tilted(50), "slices tilted by 50.0°: must be at most 45°"),
    "slice beside the others": (
        moved(2, tuple(3 * OBLIQUE[:, 0])),
        "slice1x.dcm lies 2.4 mm beside the line of the others: slices must be stacked in a straight line",
    ),
    "two volumes": (two_times, "have the same position: a series must be one volume"),
    "one slice": (lambda folder: write_series(folder, VOXELS[:, :, :1]), "one slice: must have at least two"),
    "colour": (colour, "a.dcm: 3 samples per voxel: must be one number, not a colour"),
    "no position": (without_position, "a.dcm: ImagePositionPatient '': must be 3 numbers"),
    "truncated": (truncated, "slice3.dcm: pixel data of 126 bytes, the last 60 are missing: pixel data must be as"),
    "other shape": (other_shape, r"shape \[8, 7\], but \[9, 7\] in slice0.dcm: all slices of a series must agree"),
    "empty": (empty, "ct: no DICOM images: must hold the slices of a series"),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_series_are_errors(tmp_path: Path, name: str) -> None:
    write, message = INVALID[name]
    write(tmp_path / "ct")
    with pytest.raises(VolumeError, match=message) as caught:
        load(tmp_path / "ct")
    assert "\n" not in str(caught.value)


def test_unknown_series_is_an_error(tmp_path: Path) -> None:
    write_series(tmp_path / "ct")
    message = re.escape("ct: no series '5': must be one of 1.2.3 (number 4, CT, 5 slices)")
    with pytest.raises(VolumeError, match=message):
        load(DicomFolder(tmp_path / "ct", "5"))


def test_broken_zip_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ct.zip").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(VolumeError, match=r"ct.zip: unreadable \(File is not a zip file\)"):
        load(tmp_path / "ct.zip")


def test_zip_with_a_damaged_slice_is_an_error(tmp_path: Path) -> None:
    (file, *_) = write_series(tmp_path / "ct")
    with zipfile.ZipFile(tmp_path / "ct.zip", "w") as archive:
        archive.write(file, "IM1")
    content = bytearray((tmp_path / "ct.zip").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "ct.zip").write_bytes(content)
    with pytest.raises(VolumeError, match=r"ct.zip/IM1: unreadable \(Bad CRC-32 for file 'IM1'\)"):
        load(tmp_path / "ct.zip")


def test_errors_within_the_block_are_not_changed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "ct.zip", "w") as archive:
        for file in write_series(tmp_path / "ct"):
            archive.write(file, file.name)
    with pytest.raises(RuntimeError, match="of another kind"), open_series(tmp_path / "ct.zip"):
        raise RuntimeError("of another kind")


def test_real_series_has_the_geometry_of_simpleitk(data_dir: Path, tmp_path: Path) -> None:
    """Its slices are 3 mm thick and 2 mm apart, its UIDs are empty, and its files have no extension."""
    folder = data_dir / "torso" / "dicom"
    voxels, affine = load(folder)
    assert voxels.shape == (512, 512, 20)
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), [0.9765625, 0.9765625, 2])
    with open_series(folder) as series:
        image = sitk.ReadImage([str(file) for file in series.files])
    sitk.WriteImage(image, tmp_path / "ct.nii.gz")
    converted = nib.Nifti1Image.from_filename(tmp_path / "ct.nii.gz")
    np.testing.assert_array_equal(np.asarray(converted.dataobj), voxels)
    np.testing.assert_allclose(np.asarray(converted.affine), affine, atol=1e-4)
