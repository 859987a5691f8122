"""Prediction of DICOM folders: which series is read, what is said of it, and what the report finds again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridseg.app.inference.run_record import RunRecord
from hybridseg.app.reporting.sources import recorded_image
from hybridseg.transforms import LoadVolumed

from ...transforms.io.dicom.dicom_files import OBLIQUE, SPACING
from ...transforms.io.dicom.pydicom_files import positions_along, write_classic
from ..conftest import predict, read_volume, voxels_of, write_volume

SCAN = np.random.default_rng(1).integers(0, 1000, (18, 14, 12)).astype(np.int16)
POSITIONS = positions_along(SPACING[2] * OBLIQUE[:, 2], 12)


def write_scan(folder: Path, kept: slice | list[int] = slice(None), **options: Any) -> Path:
    return write_classic(folder, SCAN[:, :, kept], modality="MR", positions=POSITIONS[kept], **options)


def localiser(dataset: Any, index: int) -> None:
    dataset.SeriesInstanceUID, dataset.SeriesNumber = "1.2.1", 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def test_series_that_fits_is_chosen_noted_and_recorded(bundle: Path, tmp_path: Path) -> None:
    """The bundle is for MRI; a localiser, a CT and a mask are in the same folder."""
    folder = write_scan(tmp_path / "p1")
    write_scan(folder, change=localiser, prefix="localiser")
    write_classic(folder, change=lambda dataset, _: setattr(dataset, "SeriesInstanceUID", "1.2.7"), prefix="ct")
    write_volume(folder / "mask.nii.gz")
    result = predict(bundle, tmp_path / "out", folder)
    assert result.code == 0, result.err
    lines = result.err.splitlines()
    assert f"{folder / 'mask.nii.gz'}: beside DICOM slices: not read: name it to segment it too" in lines[0]
    chosen = "series 1.2.3 (number 4, MR, 12 slices) chosen, not "
    assert f"{folder}: {chosen}" in lines[1]
    assert "1.2.1 (number 1, MR, 12 slices)" in lines[1]
    assert "1.2.7 (number 4, CT, 5 slices)" in lines[1]
    (case,) = json.loads((tmp_path / "out" / "run.json").read_text())["cases"]
    assert [note.startswith(f"{folder}: {chosen}") for note in case["notes"]] == [True]
    assert voxels_of(tmp_path / "out" / "p1.nii.gz").shape == SCAN.shape
    image = recorded_image(RunRecord(tmp_path / "out"), "p1")
    assert image is not None
    np.testing.assert_array_equal(LoadVolumed("image")(image.entry)["image"][0].numpy(), SCAN)


def test_missing_slice_fails_the_case_unless_filled(bundle: Path, tmp_path: Path) -> None:
    folder = write_scan(tmp_path / "p1", [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11])
    result = predict(bundle, tmp_path / "out", folder)
    assert result.code == 1
    assert "5 mm apart, others 2.5 mm: slices must be evenly spaced, and none missing (--fill-gaps" in result.err
    result = predict(bundle, tmp_path / "out", folder, "--fill-gaps")
    assert result.code == 0, result.err
    assert f"{folder}: slice 5 of 12 is missing: interpolated" in result.err
    assert voxels_of(tmp_path / "out" / "p1.nii.gz").shape == SCAN.shape
    result = predict(bundle, tmp_path / "out", folder)
    assert result.code == 2
    assert "p1.nii.gz: made with fill_gaps True, not False" in result.err


def test_tilted_stack_gets_labels_on_an_upright_grid(bundle: Path, tmp_path: Path) -> None:
    step = SPACING[2] * (OBLIQUE[:, 2] + np.tan(np.deg2rad(20)) * OBLIQUE[:, 1])
    folder = write_classic(tmp_path / "p1", SCAN, modality="MR", positions=positions_along(step, 12))
    result = predict(bundle, tmp_path / "out", folder)
    assert result.code == 0, result.err
    assert f"{folder}: gantry tilt of 20.0°: slices shifted in their planes onto an upright grid" in result.err
    labels = read_volume(tmp_path / "out" / "p1.nii.gz")
    assert labels.shape == (18, 14 + 9, 12)
    np.testing.assert_allclose(labels.header.get_zooms(), SPACING, atol=1e-5)


@pytest.mark.parametrize("series", ["4", "1.2.3"])
def test_named_series_is_read_whatever_its_neighbours(bundle: Path, tmp_path: Path, series: str) -> None:
    folder = write_scan(tmp_path / "p1")
    (folder / "report.dcm").write_bytes(b"no DICOM")
    assert "report.dcm: an image without pixel data" in predict(bundle, tmp_path / "out", folder).err
    result = predict(bundle, tmp_path / "out", folder, "--series", series)
    assert result.code == 0, result.err
    assert "report.dcm: an image without pixel data: its series is unknown: skipped" in result.err
