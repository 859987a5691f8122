"""Write DICOM series for tests by SimpleITK."""

from __future__ import annotations

import locale
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

SHAPE = (9, 7, 5)
VOXELS = np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)
ANGLE = np.deg2rad(20)
OBLIQUE = np.array([[1, 0, 0], [0, np.cos(ANGLE), -np.sin(ANGLE)], [0, np.sin(ANGLE), np.cos(ANGLE)]])
"""Directions of columns, rows and slices in LPS, one per column."""

SPACING = (0.8, 1.2, 2.5)
ORIGIN = np.array([-30.0, -40.0, 100.0])


@contextmanager
def same_locale() -> Iterator[None]:
    """Restore the locale of the process, which GDCM sets to C when it writes."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


def write_series(
    folder: Path,
    voxels: NDArray[np.int16] = VOXELS,
    *,
    direction: ArrayLike = OBLIQUE,
    spacing: Sequence[float] = SPACING,
    positions: ArrayLike | None = None,
    tags: Mapping[str, str] | None = None,
    extension: str = ".dcm",
    start: int = 0,
) -> list[Path]:
    """Write voxels (columns, rows, slices) of a CT, one file per slice, with shuffled file names.

    Args:
        folder: the folder, created if missing.
        voxels: HU.
        direction: (3, 3), directions of columns, rows and slices in LPS, one per column.
        spacing: distances of columns, rows and slices, in mm.
        positions: (slices, 3), if not evenly along the third direction.
        tags: further tags of every slice.
        extension: extension of the files.
        start: number of the first file.

    Returns:
        The files in the order of the slices.
    """
    folder.mkdir(parents=True, exist_ok=True)
    matrix = np.asarray(direction, dtype=np.float64)
    count = voxels.shape[2]
    if positions is None:
        positions = ORIGIN + np.arange(count)[:, None] * spacing[2] * matrix[:, 2]
    files = []
    for index, position in enumerate(np.asarray(positions)):
        image = sitk.GetImageFromArray(voxels[:, :, index].T[None])
        image.SetSpacing((spacing[0], spacing[1], 1.0))
        image.SetDirection(matrix.ravel().tolist())
        image.SetOrigin(position.tolist())
        described = {
            "0008|0060": "CT",
            "0020|000d": "1.2",
            "0020|000e": "1.2.3",
            "0020|0011": "4",
            "0008|103e": "portal",
            "0018|0050": "7.5",  # SliceThickness, which is not the distance
            "0020|0032": "\\".join(f"{value:.6f}" for value in position),
            "0020|0037": "\\".join(f"{value:.9f}" for value in matrix.T[:2].ravel()),
            **(tags or {}),
        }
        for tag, value in described.items():
            image.SetMetaData(tag, value)
        path = folder / f"slice{start + (index * 3) % count}{'x' * (index * 3 // count)}{extension}"
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetImageIO("GDCMImageIO")
        writer.SetFileName(str(path.with_suffix(".dcm")))
        with same_locale():
            writer.Execute(image)
        files.append(path.with_suffix(".dcm").rename(path))
    return files
