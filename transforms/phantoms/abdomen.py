"""Phantom CT volumes of the abdomen with label maps, for demonstrations and tests without patient data.

Simulated: organs that differ in shape and position but hardly in density, variation between patients, partial volume,
correlated noise, a smooth bias, contrast medium, a couch, and scans of many spacings, orientations and tilts.
Deliberately not simulated: the physics of the scanner (projections, streaks, spectra), breathing, disease beyond a
liver lesion, connected bowel. A network trained on phantoms will not work on patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hybridseg.transforms.errors import PathLike

from .abdomen_anatomy import draw_patient
from .abdomen_patient import AIR, HALF_DEPTH, HALF_HEIGHT, HALF_WIDTH, ORGANS, SPINE, VERTEBRAE, Patient
from .scan import Scan, scan_grid, voxel_centres, write_dataset
from .shapes import Array, Shape, coverage, waves

__all__ = ["ORGANS", "VERTEBRAE", "Phantom", "phantom", "write_phantoms"]

SPACINGS = ((4.0, 4.0, 4.0), (3.5, 3.5, 5.0), (5.0, 4.0, 4.0), (4.5, 4.5, 3.5))
ORIENTATIONS = ("RAS", "LPS", "LAS", "PIR", "RSP", "ASL")
MARGIN = 16.0
"""Width of the air around the body, in mm."""


class Phantom(Scan):
    """One scan: `image` (X, Y, Z) int16 in HU, `label` (X, Y, Z) uint8 as in `ORGANS`, `affine` (4, 4) to RAS mm."""


def phantom(
    seed: int,
    *,
    spacing: Sequence[float] | None = None,
    orientation: str | None = None,
    tilt: float | None = None,
    vertebrae: bool = False,
) -> Phantom:
    """Scan a random patient. The seed defines the anatomy, whatever the grid, and every argument that is None.

    Args:
        seed: at least 0.
        spacing: voxel size in mm along (right, anterior, superior), for any orientation.
        orientation: directions of the array's axes, such as "LPS".
        tilt: rotation of the grid against the world about a random axis, in degrees; None gives 0 for two of three
            scans.
        vertebrae: label each vertebra, as in `VERTEBRAE`, instead of the spine. The vertebrae look alike; only their
            distances to the organs and to each other tell them apart.

    Raises:
        ValueError: spacing is not three lengths from 1 to 10 mm, orientation is invalid, or tilt is not from 0 to 30.

    Examples:
        >>> scan = phantom(0, spacing=(8, 8, 8), orientation="LPS", tilt=0)
        >>> scan.image.shape == scan.label.shape, scan.affine.diagonal()
        (True, array([-8., -8.,  8.,  1.]))
    """
    anatomy, geometry, scanner = (np.random.default_rng([seed, stream]) for stream in range(3))
    drawn_spacing, drawn_orientation = geometry.choice(SPACINGS), geometry.choice(ORIENTATIONS)
    drawn_tilt = geometry.choice([0.0, 0.0, geometry.uniform(3, 10)])
    patient = draw_patient(anatomy)
    size = np.abs(patient.pose).max(axis=1) * (HALF_WIDTH, HALF_DEPTH, HALF_HEIGHT)
    affine, shape = scan_grid(
        2 * (size + np.array([MARGIN, MARGIN, 0])),
        spacing=drawn_spacing if spacing is None else spacing,
        orientation=str(drawn_orientation) if orientation is None else orientation,
        tilt=drawn_tilt if tilt is None else tilt,
        axis=geometry.normal(size=3),
    )
    isocentre = geometry.uniform((-20, -20, -300), (20, 20, 300))  # the scanner's origin within the patient
    points = voxel_centres(affine, shape)
    hounsfield, label = _rasterise(patient, points, vertebrae=vertebrae)
    hounsfield += _disturbance(scanner, points)
    affine[:3, 3] -= isocentre
    return Phantom(np.clip(np.rint(hounsfield), -1024, 3071).astype(np.int16), label, affine)


def write_phantoms(
    folder: PathLike,
    count: int,
    *,
    seed: int = 0,
    test_count: int = 0,
    vertebrae: bool = False,
    progress: bool = False,
) -> Path:
    """Write phantoms as a folder in the layout of the Medical Segmentation Decathlon; see `write_dataset`.

    Args:
        folder: the folder, created if missing.
        count: number of training cases, `phantom_000.nii.gz` and so on.
        seed: seed of the whole folder; another seed gives other patients.
        test_count: number of test cases, numbered after the training cases.
        vertebrae: label each vertebra; see `phantom`.
        progress: show a progress bar.

    Returns:
        The folder.

    Raises:
        ValueError: `count` is not positive, or `test_count` or `seed` is negative.
    """
    names = ORGANS | VERTEBRAE if vertebrae else ORGANS
    about = {
        "name": "Phantoms",
        "description": "Synthetic CT of the abdomen",
        "reference": "hybridseg.transforms.phantoms.abdomen",
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": {"0": "background"} | {str(label): name for label, name in names.items()},
    }
    scan = partial(phantom, vertebrae=vertebrae)
    return write_dataset(folder, scan, count, about, seed=seed, test_count=test_count, progress=progress)


def _rasterise(patient: Patient, points: Array, *, vertebrae: bool) -> tuple[Array, NDArray[np.uint8]]:
    """Draw the tissues over each other: densities with partial volume, and the label of the last tissue at each centre.

    Args:
        patient: the patient.
        points: centres of the voxels (3, X, Y, Z) in mm.
        vertebrae: label each vertebra.

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
    if vertebrae:
        spine = label == SPINE
        label[spine] = patient.vertebrae(body[2][spine])
    return hounsfield, label


def _box(shape: Shape, points: Array, stride: int = 4) -> tuple[slice, slice, slice]:
    """Return a box of voxels that contains the shape, found on every fourth voxel."""
    coarse = points[:, ::stride, ::stride, ::stride]
    reach = 0.6 * stride * np.linalg.norm(points[:, 1, 1, 1] - points[:, 0, 0, 0])
    found = ndimage.find_objects((shape(coarse) < reach).astype(np.uint8))
    if not found:
        return slice(0), slice(0), slice(0)
    first, second, third = (slice(max(0, (side.start - 1) * stride), side.stop * stride) for side in found[0])
    return first, second, third


def _disturbance(generator: np.random.Generator, points: Array) -> Array:
    """Return the scanner's noise, correlated between neighbouring voxels, plus a smooth bias: HU (X, Y, Z)."""
    noise = ndimage.gaussian_filter(generator.standard_normal(points.shape[1:], dtype=np.float32), 0.6)
    noise *= np.float32(generator.uniform(10, 22)) / noise.std()
    return noise + waves(generator, amplitude=5.0, wavelength=180.0)(points)
