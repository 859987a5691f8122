"""Grids and dataset folders of phantom scans, for any phantom."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from hybridseg.transforms.errors import PathLike
from hybridseg.transforms.io.atomic import replacing

from .shapes import Array


@dataclass(frozen=True, eq=False)
class Scan:
    """One scan of a phantom.

    Args:
        image: (X, Y, Z) int16, or (X, Y, Z, C) for several channels.
        label: (X, Y, Z) uint8.
        affine: (4, 4), voxel indices to RAS mm.
    """

    image: NDArray[np.int16]
    label: NDArray[np.uint8]
    affine: NDArray[np.float64]


def scan_grid(
    extent: NDArray[np.float64],
    *,
    spacing: Sequence[float] | NDArray[np.float64],
    orientation: str,
    tilt: float,
    axis: NDArray[np.float64],
) -> tuple[NDArray[np.float64], tuple[int, int, int]]:
    """Make a grid centred on the origin of the world.

    Args:
        extent: (3,) size along (right, anterior, superior), in mm.
        spacing: voxel size along the same directions, in mm.
        orientation: directions of the array's axes, such as "LPS".
        tilt: rotation of the grid against the world, in degrees.
        axis: (3,) axis of the rotation.

    Returns:
        The affine (4, 4) from voxel indices to mm of the world, and the voxels along each axis.

    Raises:
        ValueError: spacing is not three lengths from 1 to 10 mm, orientation is invalid, or tilt is not from 0 to 30.
    """
    spacing, orientation, tilt = _checked_spacing(spacing), _checked_orientation(orientation), _checked_tilt(tilt)
    voxels = np.ceil(extent / spacing)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_rotvec(tilt * axis / np.linalg.norm(axis), degrees=True).as_matrix() * spacing
    affine[:3, 3] = -affine[:3, :3] @ (voxels - 1) / 2
    change = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(orientation)
    )
    affine = affine @ nib.orientations.inv_ornt_aff(change, voxels)
    shape = np.empty(3, dtype=int)
    shape[change[:, 0].astype(int)] = voxels
    return affine, (int(shape[0]), int(shape[1]), int(shape[2]))


def voxel_centres(affine: NDArray[np.float64], shape: tuple[int, int, int]) -> Array:
    """Return the coordinates in mm (3, X, Y, Z) of the voxels' centres."""
    indices = np.indices(shape, dtype=np.float32)
    return np.tensordot(affine[:3, :3].astype(np.float32), indices, axes=1) + affine[:3, 3].astype(np.float32).reshape(
        3, 1, 1, 1
    )


def write_dataset(
    folder: PathLike,
    scan: Callable[[int], Scan],
    count: int,
    about: Mapping[str, Any],
    *,
    seed: int,
    test_count: int,
    progress: bool = False,
) -> Path:
    """Write phantoms as a folder in the layout of the Medical Segmentation Decathlon.

    The labels of the test cases, which the Decathlon does not publish, go to `labelsTs`. Existing files are replaced;
    `dataset.json` is written last.

    Args:
        folder: the folder, created if missing.
        scan: makes the phantom of a seed.
        count: number of training cases, `phantom_000.nii.gz` and so on.
        about: further entries of `dataset.json`.
        seed: seed of the whole folder.
        test_count: number of test cases, numbered after the training cases.
        progress: show a progress bar.

    Returns:
        The folder.

    Raises:
        ValueError: `count` is not positive, or `test_count` or `seed` is negative.
    """
    for name, value, least in (("count", count, 1), ("test_count", test_count, 0), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"{name}: {value}: must be at least {least}")
    folder = Path(folder)
    files = [f"phantom_{index:03d}.nii.gz" for index in range(count + test_count)]
    for index, file in enumerate(tqdm(files, desc="phantoms", unit="volume", disable=not progress)):
        part = "Tr" if index < count else "Ts"
        case = scan(int(np.random.SeedSequence([seed, index]).generate_state(1)[0]))
        _write(case.image, case.affine, folder / f"images{part}" / file)
        _write(case.label, case.affine, folder / f"labels{part}" / file)
    listing = {
        **about,
        "licence": "Apache-2.0",
        "synthetic": True,
        "numTraining": count,
        "numTest": test_count,
        "training": [{"image": f"./imagesTr/{file}", "label": f"./labelsTr/{file}"} for file in files[:count]],
        "test": [f"./imagesTs/{file}" for file in files[count:]],
    }
    with replacing(folder / "dataset.json") as temporary:
        temporary.write_text(json.dumps(listing, indent=1) + "\n", encoding="utf-8")
    return folder


def _write(volume: NDArray[np.generic], affine: NDArray[np.float64], path: Path) -> None:
    """Write a compressed NIfTI file with qform and sform in scanner coordinates, in mm."""
    image = nib.Nifti1Image(volume, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm")
    with replacing(path, suffix=".nii.gz") as temporary:
        nib.save(image, temporary)


def _checked_spacing(spacing: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.asarray(spacing, dtype=np.float64)
    if lengths.shape != (3,) or not np.all((lengths >= 1) & (lengths <= 10)):
        raise ValueError(f"spacing: {spacing}: must be three lengths from 1 to 10 mm")
    return lengths


def _checked_orientation(orientation: str) -> str:
    if sorted("LPI".find(letter) + "RAS".find(letter) + 1 for letter in orientation) != [0, 1, 2]:
        raise ValueError(
            f"orientation: {orientation!r}: must be three letters, one each of R or L, A or P, S or I, such as 'LPS'"
        )
    return orientation


def _checked_tilt(tilt: float) -> float:
    if not 0 <= tilt <= 30:
        raise ValueError(f"tilt: {tilt}: must be from 0 to 30 degrees")
    return float(tilt)
