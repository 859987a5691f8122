"""Phantom CT volumes of the abdomen with their label maps, for demonstrations and tests that need no patient.

Simulated: organs that differ in shape and place but hardly in density, variation between patients, partial volume,
correlated noise, a smooth bias, contrast medium, a couch, and scans of many spacings, orientations and tilts.
Deliberately not simulated: the physics of the scanner (projections, streaks, spectra), breathing, disease beyond a
liver lesion, bowel that is connected. A network that has learnt phantoms has not learnt patients.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from .atomic import replacing
from .phantom_anatomy import AIR, HALF_DEPTH, HALF_HEIGHT, HALF_WIDTH, ORGANS, Patient, draw_patient
from .phantom_shapes import Array, Shape, coverage, waves

__all__ = ["ORGANS", "Phantom", "phantom", "write_phantoms"]

SPACINGS = ((4.0, 4.0, 4.0), (3.5, 3.5, 5.0), (5.0, 4.0, 4.0), (4.5, 4.5, 3.5))
ORIENTATIONS = ("RAS", "LPS", "LAS", "PIR", "RSP", "ASL")
MARGIN = 16.0
"""Air around the body, in mm."""


@dataclass(frozen=True, eq=False)
class Phantom:
    """One scan.

    Args:
        image: (X, Y, Z) int16, in HU.
        label: (X, Y, Z) uint8, after `ORGANS`.
        affine: (4, 4), voxel indices to RAS mm.
    """

    image: NDArray[np.int16]
    label: NDArray[np.uint8]
    affine: NDArray[np.float64]


def phantom(
    seed: int,
    *,
    spacing: Sequence[float] | None = None,
    orientation: str | None = None,
    tilt: float | None = None,
) -> Phantom:
    """Scan the patient of a seed. The seed fixes the anatomy, whatever the grid; what is None is drawn from it too.

    Args:
        seed: at least 0.
        spacing: voxel size in mm along (right, anterior, superior), on whichever axes of the array these lie.
        orientation: where the array's axes point to, such as "LPS".
        tilt: rotation of the grid against the world about a random axis, in degrees; drawn, it is 0 for two of three
            scans.

    Raises:
        ValueError: a spacing that is not three lengths from 1 to 10 mm, letters that are no orientation, a tilt outside
            0 to 30.

    Examples:
        >>> scan = phantom(0, spacing=(8, 8, 8), orientation="LPS", tilt=0)
        >>> scan.image.shape == scan.label.shape, scan.affine.diagonal()
        (True, array([-8., -8.,  8.,  1.]))
    """
    anatomy, geometry, scanner = (np.random.default_rng([seed, stream]) for stream in range(3))
    drawn_spacing, drawn_orientation = geometry.choice(SPACINGS), geometry.choice(ORIENTATIONS)
    drawn_tilt = geometry.choice([0.0, 0.0, geometry.uniform(3, 10)])
    patient = draw_patient(anatomy)
    affine, shape = _grid(
        patient,
        geometry,
        _checked_spacing(drawn_spacing if spacing is None else spacing),
        _checked_orientation(str(drawn_orientation) if orientation is None else orientation),
        _checked_tilt(drawn_tilt if tilt is None else tilt),
    )
    isocentre = geometry.uniform((-20, -20, -300), (20, 20, 300))  # where the scanner's origin lies in the patient
    points = _voxel_centres(affine, shape)
    hounsfield, label = _rasterise(patient, points)
    hounsfield += _disturbance(scanner, points)
    affine[:3, 3] -= isocentre
    return Phantom(np.clip(np.rint(hounsfield), -1024, 3071).astype(np.int16), label, affine)


def write_phantoms(
    folder: str | os.PathLike[str], count: int, *, seed: int = 0, test_count: int = 0, progress: bool = False
) -> Path:
    """Write phantoms as a folder in the layout of the Medical Segmentation Decathlon.

    The labels of the test cases, which the Decathlon keeps to itself, go to `labelsTs`.

    Files are replaced when they are there; `dataset.json` comes last.

    Args:
        folder: created when needed.
        count: training cases, `phantom_000.nii.gz` and on.
        seed: of the whole folder; another seed gives other patients.
        test_count: test cases, numbered after the training cases.
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
        case = phantom(int(np.random.SeedSequence([seed, index]).generate_state(1)[0]))
        _write(case.image, case.affine, folder / f"images{part}" / file)
        _write(case.label, case.affine, folder / f"labels{part}" / file)
    listing = {
        "name": "Phantoms",
        "description": "Synthetic CT of the abdomen",
        "reference": "hybridseg.transforms.phantom",
        "licence": "Apache-2.0",
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": {"0": "background"} | {str(label): name for label, name in ORGANS.items()},
        "numTraining": count,
        "numTest": test_count,
        "training": [{"image": f"./imagesTr/{file}", "label": f"./labelsTr/{file}"} for file in files[:count]],
        "test": [f"./imagesTs/{file}" for file in files[count:]],
    }
    with replacing(folder / "dataset.json") as temporary:
        temporary.write_text(json.dumps(listing, indent=1) + "\n", encoding="utf-8")
    return folder


def _grid(
    patient: Patient, generator: np.random.Generator, spacing: NDArray[np.float64], orientation: str, tilt: float
) -> tuple[NDArray[np.float64], tuple[int, int, int]]:
    """A grid about the patient: affine (4, 4) from voxels to mm of the world, and its voxels along each axis."""
    size = np.abs(patient.pose).max(axis=1) * (HALF_WIDTH, HALF_DEPTH, HALF_HEIGHT)
    extent = 2 * (size + np.array([MARGIN, MARGIN, 0]))
    voxels = np.ceil(extent / spacing)
    axis = generator.normal(size=3)
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


def _voxel_centres(affine: NDArray[np.float64], shape: tuple[int, int, int]) -> Array:
    """Coordinates in mm (3, X, Y, Z) of the voxels' centres."""
    indices = np.indices(shape, dtype=np.float32)
    return np.tensordot(affine[:3, :3].astype(np.float32), indices, axes=1) + affine[:3, 3].astype(np.float32).reshape(
        3, 1, 1, 1
    )


def _rasterise(patient: Patient, points: Array) -> tuple[Array, NDArray[np.uint8]]:
    """Lay the tissues over each other: densities with partial volume, and the label of the last tissue at each centre.

    Args:
        patient: what is scanned.
        points: centres of the voxels (3, X, Y, Z) in mm.

    Returns:
        HU (X, Y, Z), and labels (X, Y, Z).
    """
    body = patient.body_points(points)
    hounsfield = np.full(body.shape[1:], AIR, dtype=np.float32)
    label = np.zeros(body.shape[1:], dtype=np.uint8)
    for tissue in patient.tissues:
        box = _box(tissue.shape, body)
        if min(side.stop - side.start for side in box) < 2:
            continue
        field = tissue.shape(body[:, *box])
        hounsfield[box] += coverage(field) * (np.float32(tissue.hounsfield) - hounsfield[box])
        label[box][field < 0] = tissue.organ
    return hounsfield, label


def _box(shape: Shape, points: Array, stride: int = 4) -> tuple[slice, slice, slice]:
    """A box of voxels outside of which the shape covers nothing, found on every fourth voxel."""
    coarse = points[:, ::stride, ::stride, ::stride]
    reach = 0.6 * stride * np.linalg.norm(points[:, 1, 1, 1] - points[:, 0, 0, 0])
    found = ndimage.find_objects((shape(coarse) < reach).astype(np.uint8))
    if not found:
        return slice(0), slice(0), slice(0)
    first, second, third = (slice(max(0, (side.start - 1) * stride), side.stop * stride) for side in found[0])
    return first, second, third


def _disturbance(generator: np.random.Generator, points: Array) -> Array:
    """What the scanner adds: noise, correlated between neighbouring voxels, and a smooth bias; HU (X, Y, Z)."""
    noise = ndimage.gaussian_filter(generator.standard_normal(points.shape[1:], dtype=np.float32), 0.6)
    noise *= np.float32(generator.uniform(10, 22)) / noise.std()
    return noise + waves(generator, amplitude=5.0, wavelength=180.0)(points)


def _write(volume: NDArray[np.generic], affine: NDArray[np.float64], path: Path) -> None:
    """Write a compressed NIfTI file with qform and sform of the scanner, in mm."""
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
