"""Phantom MRI of heads with tumours in four contrasts, with label maps, for tests without patient data.

Skull-stripped brains, as in Task01_BrainTumour of the Medical Segmentation Decathlon: grey and white matter, sulci,
ventricles, deep nuclei, cerebellum; a tumour with surrounding edema and, in most, an enhancing rim around a
non-enhancing core. No contrast shows all of it: edema is bright in FLAIR and T2w, the rim in t1gd. Similar but no
tumour: lesions of the white matter in FLAIR and T2w, plexus in t1gd, fluid in T2w. Also simulated: partial volume,
noise, a smooth bias and a gain for each channel, many spacings, orientations and tilts. Deliberately not simulated: the
physics of the scanner, mass effect, several tumours, resection cavities. A network trained on phantoms will not work on
patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from hybridseg.transforms.errors import PathLike

from .scan import Scan, scan_grid, voxel_centres, write_dataset
from .shapes import Array, Shape, complement, coverage, ellipsoid, grown, half_space, intersection, union, waves

__all__ = ["CHANNELS", "LABELS", "HeadPhantom", "head_phantom", "write_heads"]

CHANNELS = ("FLAIR", "T1w", "t1gd", "T2w")
LABELS = {1: "edema", 2: "non-enhancing tumour", 3: "enhancing tumour"}
"""Name of each label; 0 is everything else."""

FLUID, GREY, WHITE = (12, 24, 25, 100), (64, 52, 54, 62), (52, 70, 72, 46)
LESION, PLEXUS = (84, 60, 62, 78), (55, 48, 110, 80)
EDEMA, CORE, RIM = (80, 52, 54, 78), (62, 38, 42, 86), (72, 54, 105, 68)
"""Brightness in each channel, in percent of the scan's own scale."""

HALF_WIDTH, HALF_DEPTH, HALF_HEIGHT = 68.0, 84.0, 62.0
"""Half of the brain's width, depth and height, in mm."""

MARGIN = 18.0
"""Width of the empty space around the brain, in mm."""

SPACINGS = ((2.0, 2.0, 2.0), (2.5, 2.5, 2.5), (2.0, 2.0, 4.0), (2.0, 3.0, 2.0))
ORIENTATIONS = ("RAS", "LPS", "LAS", "PSR", "RSA")


class HeadPhantom(Scan):
    """One scan: `image` (X, Y, Z, 4) as in `CHANNELS`, 0 outside the brain, and `label` (X, Y, Z) as in `LABELS`."""


@dataclass(frozen=True)
class Tissue:
    """A shape in mm of the head, its brightness in each channel, and its label."""

    shape: Shape
    brightness: tuple[int, ...]
    label: int = 0


def head_phantom(
    seed: int, *, spacing: Sequence[float] | None = None, orientation: str | None = None, tilt: float | None = None
) -> HeadPhantom:
    """Scan a random patient. The seed defines the anatomy, whatever the grid, and every argument that is None.

    Args:
        seed: at least 0.
        spacing: voxel size in mm along (right, anterior, superior), for any orientation.
        orientation: directions of the array's axes, such as "LPS".
        tilt: rotation of the grid against the world about a random axis, in degrees; None gives 0 for half of the
            scans.

    Raises:
        ValueError: see `scan_grid`.
    """
    anatomy, geometry, scanner = (np.random.default_rng([seed, stream]) for stream in range(3))
    drawn_spacing, drawn_orientation = geometry.choice(SPACINGS), geometry.choice(ORIENTATIONS)
    drawn_tilt = geometry.choice([0.0, geometry.uniform(3, 10)])
    pose = Rotation.from_euler("xyz", anatomy.normal(0, 4, 3), degrees=True).as_matrix() * anatomy.uniform(
        0.93, 1.05, 3
    )
    brain, tissues = draw_head(anatomy)
    affine, shape = scan_grid(
        2 * (np.array([HALF_WIDTH, HALF_DEPTH, HALF_HEIGHT]) + MARGIN),
        spacing=drawn_spacing if spacing is None else spacing,
        orientation=str(drawn_orientation) if orientation is None else orientation,
        tilt=drawn_tilt if tilt is None else tilt,
        axis=geometry.normal(size=3),
    )
    points = voxel_centres(affine, shape)
    places = np.tensordot(np.linalg.inv(pose).astype(np.float32), points, axes=1)
    image = np.zeros((len(CHANNELS), *shape), dtype=np.float32)
    label = np.zeros(shape, dtype=np.uint8)
    for tissue in tissues:
        field = tissue.shape(places)
        share = coverage(field)
        for channel, brightness in zip(image, tissue.brightness, strict=True):
            channel += share * (brightness - channel)
        label[field < 0] = tissue.label
    inside = brain(places) < 0
    disturb(scanner, image, points)
    affine[:3, 3] += geometry.uniform(-40, 40, 3)
    voxels = np.where(inside, np.clip(np.rint(image), 1, 32767), 0).astype(np.int16)
    return HeadPhantom(np.ascontiguousarray(np.moveaxis(voxels, 0, -1)), np.where(inside, label, 0), affine)


def write_heads(folder: PathLike, count: int, *, seed: int = 0, test_count: int = 0, progress: bool = False) -> Path:
    """Write heads as a folder in the layout of the Medical Segmentation Decathlon; see `write_dataset`.

    Args:
        folder: the folder, created if missing.
        count: number of training cases, `phantom_000.nii.gz` and so on.
        seed: seed of the whole folder; another seed gives other patients.
        test_count: number of test cases, numbered after the training cases.
        progress: show a progress bar.

    Returns:
        The folder.

    Raises:
        ValueError: `count` is not positive, or `test_count` or `seed` is negative.
    """
    about = {
        "name": "Heads",
        "description": "Synthetic MRI of brains with tumours",
        "reference": "hybridseg.transforms.phantoms.head",
        "tensorImageSize": "4D",
        "modality": {str(index): name for index, name in enumerate(CHANNELS)},
        "labels": {"0": "background"} | {str(label): name for label, name in LABELS.items()},
    }
    return write_dataset(folder, head_phantom, count, about, seed=seed, test_count=test_count, progress=progress)


def draw_head(generator: np.random.Generator) -> tuple[Shape, list[Tissue]]:
    """Draw a patient.

    Returns:
        The brain, and its tissues in drawing order, the tumour last.
    """
    half = np.array([HALF_WIDTH, HALF_DEPTH, HALF_HEIGHT]) - 4
    cerebrum = ellipsoid((0, 0, 0), half, power=2.3)
    folds = waves(generator, amplitude=2.5, wavelength=9.0, count=8)
    cerebellum = ellipsoid((0, -48, -42), (46, 30, 20))
    brain = union(rough(cerebrum, waves(generator, amplitude=1.0, wavelength=30.0)), cerebellum, blend=6)
    fissure = intersection(ellipsoid((0, 0, 60), (1.2, 200, 50)), half_space((0, 0, -1), 0))
    white = union(intersection(rough(grown(cerebrum, -7), folds), complement(grown(fissure, 4))), grown(cerebellum, -8))
    sulci = intersection(rough(complement(grown(brain, -6)), folds), grown(folds, -3.5))
    stretch = generator.uniform(0.8, 1.35)
    ventricles = union(
        *(ellipsoid((side * 9, 4, 8), (6 * stretch, 30, 7 * stretch), turn=(12, 0, -side * 14)) for side in (-1, 1)),
        *(ellipsoid((side * 24, -26, -2), (5 * stretch, 15, 6), turn=(-30, 0, side * 20)) for side in (-1, 1)),
        ellipsoid((0, 0, -8), (2.5, 12, 9)),
    )
    nuclei = union(*(ellipsoid((side * 22, 2, -4), (9, 20, 12), turn=(0, 0, side * 15)) for side in (-1, 1)))
    plexus = union(*(ellipsoid((side * 22, -28, 0), (2, 7, 2.5), turn=(-30, 0, side * 20)) for side in (-1, 1)))
    spots = [
        ellipsoid(generator.normal((side * 30, 0, 18), (6, 26, 8)), generator.uniform(2, 5, 3))
        for side in (-1, 1, 1, -1)
    ]
    tissues = [
        Tissue(grown(brain, 3), FLUID),
        Tissue(brain, GREY),
        Tissue(white, WHITE),
        Tissue(nuclei, GREY),
        Tissue(union(fissure, sulci), FLUID),
        Tissue(intersection(union(*spots), white), LESION),
        Tissue(ventricles, FLUID),
        Tissue(plexus, PLEXUS),
    ]
    within = intersection(grown(brain, -2), complement(ventricles), complement(fissure))
    return brain, [*tissues, *draw_tumour(generator, within)]


def draw_tumour(generator: np.random.Generator, within: Shape) -> list[Tissue]:
    """Draw edema, rim and core of a tumour in the cerebrum; one in seven has no enhancing rim."""
    side, radius = generator.choice((-1, 1)), generator.uniform(9, 19)
    centre = (side * generator.uniform(22, 40), generator.uniform(-48, 48), generator.uniform(-8, 34))
    mass = ellipsoid(centre, radius * generator.uniform(0.8, 1.25, 3), turn=generator.uniform(-90, 90, 3))
    mass = rough(mass, waves(generator, amplitude=1.8, wavelength=18.0))
    edema = rough(grown(mass, generator.uniform(6, 15)), waves(generator, amplitude=4.0, wavelength=30.0))
    core = rough(grown(mass, -generator.uniform(3, 5.5)), waves(generator, amplitude=1.0, wavelength=14.0))
    parts = [Tissue(intersection(edema, within), EDEMA, 1), Tissue(intersection(mass, within), RIM, 3)]
    if generator.uniform() < 1 / 7:
        return [parts[0], Tissue(parts[1].shape, CORE, 2)]
    return [*parts, Tissue(intersection(core, parts[1].shape), CORE, 2)]


def rough(shape: Shape, displacement: Shape) -> Shape:
    """Move the surface of a shape inwards by a smooth function of space, in mm."""
    return lambda points: shape(points) + displacement(points)


def disturb(generator: np.random.Generator, image: Array, points: Array) -> None:
    """Add bias, noise and a scale of its own to each channel (X, Y, Z) of an image, in place."""
    for channel in image:
        channel *= 1 + waves(generator, amplitude=0.1, wavelength=150.0)(points)
        channel += generator.uniform(3, 6) * generator.standard_normal(channel.shape, dtype=np.float32)
        channel *= generator.uniform(2, 12)
