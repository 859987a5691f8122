"""Checks of DICOM written from one small volume: it is read as that volume, or fails with a one-line error."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridseg.transforms import LoadVolumed, VolumeError
from hybridseg.transforms.io.dicom import DicomFolder

from .dicom_files import OBLIQUE, ORIGIN, SPACING, VOXELS
from .pydicom_files import SERIES, write_classic

AFFINE = np.diag([-1.0, -1, 1, 1]) @ np.block(
    [[OBLIQUE * np.array(SPACING), ORIGIN[:, None]], [np.zeros((1, 3)), np.ones((1, 1))]]
)


def load(source: Path | DicomFolder) -> tuple[np.ndarray, np.ndarray]:
    """Load the voxels (columns, rows, slices) and the affine of a series."""
    volume = LoadVolumed("image")({"image": source})["image"]
    return volume[0].numpy(), volume.affine.numpy()


def check_known_volume(source: Path | DicomFolder, atol: float = 1e-6) -> None:
    """Check that a series is read as `VOXELS` at `AFFINE`."""
    voxels, affine = load(source)
    np.testing.assert_array_equal(voxels, VOXELS)
    np.testing.assert_allclose(affine, AFFINE, atol=atol)


def check_error(source: Path | DicomFolder, message: str) -> None:
    """Check that a series is an error with a message, in one line and without the patient's name."""
    with pytest.raises(VolumeError, match=re.escape(message)) as caught:
        load(source)
    assert "\n" not in str(caught.value)
    assert "JANE" not in str(caught.value).upper()


def in_series(uid: str, **attributes: Any) -> Callable[[Any, int], None]:
    def change(dataset: Any, index: int) -> None:
        dataset.SeriesInstanceUID, dataset.SeriesNumber = uid, uid.rsplit(".", 1)[-1]
        for name, value in attributes.items():
            setattr(dataset, name, value)

    return change


def zipped(folder: Path) -> Path:
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
        for file in filter(Path.is_file, folder.rglob("*")):
            archive.write(file, f"DOE^JANE/{file.relative_to(folder)}")
    return folder.with_suffix(".zip")


def two_in_one_series(
    name: str, *values: Any, modality: str = "CT", chosen: str | None = "4/2"
) -> Callable[[Path], DicomFolder]:
    """Write a series with two volumes that differ in an attribute, and that of the known volume last."""

    units = {"Units": "GML"} if modality == "PT" else {}

    def write(folder: Path) -> DicomFolder:
        for prefix, voxels, value in zip("ab", (VOXELS[::-1], VOXELS), values, strict=True):
            change = in_series(SERIES, SeriesNumber=4, **units, **{name: value})
            write_classic(folder, voxels, modality=modality, prefix=prefix, change=change)
        return DicomFolder(folder, chosen)

    return write
