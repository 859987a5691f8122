"""Positions of slices become the grid of a volume: rounded, tilted or with a gap; what is no stack is an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridseg.transforms import VolumeError
from hybridseg.transforms.io.dicom import DicomFolder, open_series

from .dicom_files import OBLIQUE, ORIGIN, SPACING, VOXELS
from .pydicom_files import EVEN, number, positions_along, write_classic, write_enhanced
from .variants import AFFINE, check_error, check_known_volume, load

SPACING_OF_ROUNDED = 0.875


def turned(dataset: Any, index: int) -> None:
    angle = 2e-4 * (-1) ** index
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    dataset.ImageOrientationPatient = [number(value) for value in (turn @ OBLIQUE[:, :2]).T.ravel()]


def rounded(digits: int, spacing: float = SPACING_OF_ROUNDED, missing: int | None = None) -> Callable[[Path], Path]:
    """Write slices whose positions are rounded to digits after the point."""
    positions = np.round(positions_along([0, 0, spacing]) - ORIGIN, digits)
    kept = [index for index in range(len(positions)) if index != missing]
    return lambda folder: write_classic(folder, VOXELS[:, :, kept], positions=positions[kept], orientation=np.eye(3))


ERRORS: dict[str, tuple[Callable[[Path], Path | DicomFolder], str]] = {
    "a slice missing": (
        rounded(3, missing=2),
        "IM3 and IM2 are 1.75 mm apart, others 0.875 mm: slices must be evenly spaced, and none missing (--fill-gaps",
    ),
    "a slice missing among rounded ones": (rounded(1, missing=2), "must be evenly spaced, and none missing"),
    "a slice missing among rounded to mm": (rounded(0, 1.0, missing=2), "must be evenly spaced, and none missing"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_stack_that_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    write, message = ERRORS[name]
    check_error(write(tmp_path / "dicom"), message)


def test_orientations_that_differ_a_little_are_read(tmp_path: Path) -> None:
    check_known_volume(write_classic(tmp_path / "ct", change=turned), atol=2e-3)


def test_oblique_reformation_is_read_in_its_place(tmp_path: Path) -> None:
    """A derived series at 45 degrees between the axial and the coronal plane, and turned within its plane."""
    tip, spin = np.deg2rad(45), np.deg2rad(30)
    tipped = np.array([[1, 0, 0], [0, np.cos(tip), -np.sin(tip)], [0, np.sin(tip), np.cos(tip)]])
    turned_in_plane = np.array([[np.cos(spin), -np.sin(spin), 0], [np.sin(spin), np.cos(spin), 0], [0, 0, 1]])
    directions = tipped @ turned_in_plane
    positions = positions_along(SPACING[2] * directions[:, 2])
    voxels, affine = load(write_classic(tmp_path / "mpr", positions=positions, orientation=directions))
    np.testing.assert_array_equal(voxels, VOXELS)
    np.testing.assert_allclose(np.diag([-1.0, -1, 1]) @ affine[:3, :3], directions * SPACING, atol=1e-6)


@pytest.mark.parametrize("digits", [0, 1, 2])
def test_rounded_positions_are_fitted(tmp_path: Path, digits: int) -> None:
    """The distance is that of all slices, which rounding of the first two would falsify."""
    spacing = SPACING_OF_ROUNDED if digits else 1.6
    voxels, affine = load(rounded(digits, spacing)(tmp_path / "ct"))
    np.testing.assert_array_equal(voxels, VOXELS)
    assert affine[2, 2] == pytest.approx(spacing, abs=0.3 * 10.0**-digits)


def test_uneven_slices_of_many_digits_are_an_error(tmp_path: Path) -> None:
    """What is fitted with positions in whole tenths is not with positions in micrometres."""
    positions = np.round(positions_along([0, 0, SPACING_OF_ROUNDED]) - ORIGIN, 1)
    positions[:, 2] += [0, 0.201, 0, -0.201, 0]
    with pytest.raises(VolumeError, match="slices must be evenly spaced"):
        load(write_classic(tmp_path / "ct", positions=positions, orientation=np.eye(3)))


def test_missing_slice_is_filled_on_request(tmp_path: Path) -> None:
    kept = [0, 1, 3, 4]
    folder = write_classic(tmp_path / "ct", VOXELS[:, :, kept], positions=EVEN[kept])
    source = DicomFolder(folder, fill_gaps=True)
    voxels, affine = load(source)
    np.testing.assert_array_equal(voxels[:, :, kept], VOXELS[:, :, kept])
    np.testing.assert_array_equal(voxels[:, :, 2], (VOXELS[:, :, 1] / 2 + VOXELS[:, :, 3] / 2))
    np.testing.assert_allclose(affine, AFFINE, atol=1e-6)
    with open_series(source) as series:
        assert series.notes == (f"{folder}: slice 3 of 5 is missing: interpolated",)
        labels = (VOXELS > 0).astype(np.uint8)
        np.testing.assert_array_equal(series.labels_on_slices(labels), labels[:, :, kept])


def test_two_missing_slices_are_not_filled(tmp_path: Path) -> None:
    more, positions = np.concatenate([VOXELS, VOXELS], axis=2), positions_along(SPACING[2] * OBLIQUE[:, 2], 10)
    kept = [0, 1, 3, 4, 5, 6, 8, 9]
    folder = write_classic(tmp_path / "ct", more[:, :, kept], positions=positions[kept])
    with pytest.raises(VolumeError, match="ct: 2 slices are missing: at most 1 can be filled"):
        load(DicomFolder(folder, fill_gaps=True))


def test_gaps_are_not_filled_in_uneven_slices(tmp_path: Path) -> None:
    positions = EVEN.copy()
    positions[2] += 0.3 * SPACING[2] * OBLIQUE[:, 2]
    with pytest.raises(VolumeError, match="slices must be evenly spaced"):
        load(DicomFolder(write_classic(tmp_path / "ct", positions=positions), fill_gaps=True))


RAMP = np.add.outer(np.add.outer(np.arange(16) * 10.0, np.arange(20) * 6.0), np.arange(12) * 4.0)
"""Intensities that change by a constant along each axis, so that linear interpolation is exact."""


@pytest.mark.parametrize("degrees", [15, -20])
@pytest.mark.parametrize("write", [write_classic, write_enhanced])
def test_gantry_tilt_is_corrected(tmp_path: Path, degrees: float, write: Callable[..., Path]) -> None:
    """Every voxel within the slices has the value that is at its place in the patient."""
    if write is write_enhanced:
        pytest.importorskip("highdicom", reason="needs the extra dicom")
    rows = OBLIQUE[:, 1]
    step = SPACING[2] * (OBLIQUE[:, 2] + np.tan(np.deg2rad(degrees)) * rows)
    positions = positions_along(step, RAMP.shape[2])
    place = RAMP + 6.0 * (SPACING[2] * np.tan(np.deg2rad(degrees)) / SPACING[1]) * np.arange(RAMP.shape[2])
    stored = np.round(place * 16) / 16
    if write is write_enhanced:
        folder = write(tmp_path / "ct", {0: place.round()}, positions=positions)
    else:
        folder = write(tmp_path / "ct", stored, positions=positions, slope=1 / 16)
    voxels, affine = load(folder)
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), SPACING, atol=1e-6)
    indices = np.stack(np.meshgrid(*map(np.arange, voxels.shape), indexing="ij"), axis=-1)
    column, row, plane = np.moveaxis(
        (indices @ affine[:3, :3].T + affine[:3, 3] - AFFINE[:3, 3]) @ np.linalg.inv(AFFINE[:3, :3]).T, -1, 0
    )
    expected = 10 * column + 6 * row + 4 * plane
    first = row - plane * SPACING[2] * np.tan(np.deg2rad(degrees)) / SPACING[1]
    inside = (first > 0) & (first < RAMP.shape[1] - 1)
    assert inside.sum() > 0.9 * RAMP[:, 1:].size
    np.testing.assert_allclose(voxels[inside], expected[inside], atol=1.0)
    outside = (first < -1) | (first > RAMP.shape[1])
    assert set(voxels[outside].tolist()) == {voxels.min()}
    with open_series(folder) as series:
        assert series.notes == (
            f"{folder}: gantry tilt of {abs(degrees):.1f}°: slices shifted in their planes onto an upright grid",
        )
        labels = (voxels > 150).astype(np.uint8)
        returned = series.labels_on_slices(labels)
    assert returned.shape == RAMP.shape
    assert (returned != (place > 150)).mean() < 0.03
