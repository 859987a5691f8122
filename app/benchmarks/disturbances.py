"""Disturbances of a scan, each with a severity: what a network may meet that its training data did not have.

A disturbance takes an image (C, X, Y, Z) and its label map (1, X, Y, Z), MetaTensors on one grid with the affine to RAS
mm, and returns both, on one grid again. Random ones draw the same numbers each time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import (
    AdjustContrast,
    CenterSpatialCrop,
    GaussianSmooth,
    RandBiasField,
    RandGaussianNoise,
    RandRicianNoise,
)
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hybridseg.transforms.grid import voxel_lengths
from hybridseg.transforms.spatial.oblique import sample_slabs
from hybridseg.transforms.spatial.resample import Resampled

SEED = 0
PERCENTILES = (1, 99)
"""Of an image, between which its range of intensities lies."""
FULL_WIDTH = 2 * math.sqrt(2 * math.log(2))
"""Full width at half maximum of a Gaussian, in standard deviations."""

Scan = tuple[MetaTensor, MetaTensor]
"""An image (C, X, Y, Z) and its label map (1, X, Y, Z)."""


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """A disturbance of one severity.

    Args:
        name: what it is.
        severity: how strong it is.
        unit: unit of the severity.
        apply: disturbs a scan.
        keeps_units: whether intensities in HU or SUV stay so; what does not is for MRI only.
    """

    name: str
    severity: float
    unit: str
    apply: Callable[[Scan], Scan]
    keeps_units: bool = True


def of_image(scan: Scan, change: Callable[[Any], Any]) -> Scan:
    """Change each channel (1, X, Y, Z) of the image of a scan, and nothing of its label map."""
    image, label = scan
    changed = torch.cat([change(image[index : index + 1]).as_tensor() for index in range(len(image))])
    return MetaTensor(changed.float(), meta=dict(image.meta)), label


def seeded(transform: RandBiasField | RandGaussianNoise | RandRicianNoise) -> Any:
    """Return a random transform of MONAI that draws the same numbers each time it is made."""
    return transform.set_random_state(SEED)


def add_noise(scan: Scan, percent: float) -> Scan:
    """Add noise with a standard deviation in percent of the range of intensities.

    It is Rician where no voxel is negative, as in MRI, and else Gaussian.
    """

    def noisy(channel: MetaTensor) -> MetaTensor:
        low, high = np.percentile(channel.numpy(), PERCENTILES)
        std = float(high - low) * percent / 100
        if channel.min() >= 0:
            return seeded(RandRicianNoise(prob=1, std=std, sample_std=False))(channel)
        return seeded(RandGaussianNoise(prob=1, std=std, sample_std=False))(channel)

    return of_image(scan, noisy)


def add_bias_field(scan: Scan, coefficient: float) -> Scan:
    """Multiply by the exponential of a polynomial of degree 3 with random coefficients, at most this far from 0."""
    transform = partial(RandBiasField, degree=3, coeff_range=(-coefficient, coefficient), prob=1)
    return of_image(scan, lambda channel: seeded(transform())(channel))


def blur(scan: Scan, width: float) -> Scan:
    """Blur by a Gaussian with this full width at half maximum, in mm."""
    sigma = width / FULL_WIDTH / voxel_lengths(np.asarray(scan[0].affine))
    return of_image(scan, GaussianSmooth([float(value) for value in sigma]))


def coarsen(scan: Scan, spacing: float) -> Scan:
    """Average over larger voxels: axes with smaller voxels get this voxel size, in mm."""
    image, label = scan
    lengths = voxel_lengths(np.asarray(image.affine))
    wanted = np.maximum(lengths, spacing)
    sigma = [float(value) for value in np.sqrt(np.maximum((wanted / lengths) ** 2 - 1, 0)) / FULL_WIDTH]
    image, _ = of_image(scan, GaussianSmooth(sigma))
    coarse = Resampled(["image", "label"], wanted.tolist(), nearest=["label"])({"image": image, "label": label})
    return coarse["image"], coarse["label"]


def change_contrast(scan: Scan, gamma: float) -> Scan:
    """Raise intensities, scaled to 0 to 1, to a power."""
    return of_image(scan, AdjustContrast(gamma))


def scale_intensities(scan: Scan, factor: float) -> Scan:
    """Multiply intensities by a factor."""
    return of_image(scan, lambda channel: channel * factor)


def interpolate_slices(scan: Scan, percent: float) -> Scan:
    """Replace this share of the slices, at most half, by the means of their neighbours, as where they were lost."""
    step = round(100 / percent)
    axis = 1 + slice_axis(scan[0])

    def lose(channel: MetaTensor) -> MetaTensor:
        voxels = channel.clone()
        for index in range(1, channel.shape[axis] - 1, step):
            before, after = channel.select(axis, index - 1), channel.select(axis, index + 1)
            voxels.select(axis, index).copy_((before + after) / 2)
        return voxels

    return of_image(scan, lose)


def narrow(scan: Scan, percent: float) -> Scan:
    """Keep this share of each axis, in the middle."""
    image, label = scan
    crop = CenterSpatialCrop([max(1, round(length * percent / 100)) for length in image.shape[1:]])
    return cast(MetaTensor, crop(image)), cast(MetaTensor, crop(label))


def rotate(scan: Scan, degrees: float) -> Scan:
    """Rotate the content about the centre and the axis through the slices; the border is continued outwards."""
    image, label = scan
    affine = np.asarray(image.affine, dtype=np.float64)
    direction = affine[:3, slice_axis(image)] / np.linalg.norm(affine[:3, slice_axis(image)])
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_rotvec(math.radians(degrees) * direction).as_matrix()
    centre = affine @ [*((np.array(image.shape[1:]) - 1) / 2), 1]
    turn[:3, 3] = centre[:3] - turn[:3, :3] @ centre[:3]
    mapping = np.linalg.inv(affine) @ turn @ affine  # indices of the new voxels to those of the old
    return resample(image, mapping, nearest=False), resample(label, mapping, nearest=True)


def resample(volume: MetaTensor, mapping: NDArray[np.float64], *, nearest: bool) -> MetaTensor:
    """Sample a volume (C, X, Y, Z) at other places; labels are 0 outside."""
    shape = volume.shape[1:]
    ((_, inside, values),) = sample_slabs(volume.as_tensor(), mapping, shape, math.prod(shape), nearest=nearest)
    return MetaTensor(values.where(inside, 0) if nearest else values, meta=dict(volume.meta))


def slice_axis(image: MetaTensor) -> int:
    """Return the axis through the slices: that of the longest voxels, the last if several are as long."""
    lengths = voxel_lengths(np.asarray(image.affine)).round(3)
    return int(np.flatnonzero(lengths == lengths.max())[-1])


def several(
    name: str,
    change: Callable[[Scan, float], Scan],
    severities: Sequence[float],
    unit: str,
    *,
    keeps_units: bool = True,
) -> list[Disturbance]:
    """Return a disturbance for each severity."""
    return [
        Disturbance(
            name=name,
            severity=severity,
            unit=unit,
            apply=partial(_apply, change, severity),
            keeps_units=keeps_units,
        )
        for severity in severities
    ]


def _apply(change: Callable[[Scan, float], Scan], severity: float, scan: Scan) -> Scan:
    return change(scan, severity)


DISTURBANCES: Sequence[Disturbance] = (
    *several("noise", add_noise, (5, 10, 20), "% of the range"),
    *several("bias field", add_bias_field, (0.1, 0.3), "coefficients", keeps_units=False),
    *several("blur", blur, (2, 4), "mm"),
    *several("spacing", coarsen, (2, 4), "mm"),
    *several("contrast", change_contrast, (0.7, 1.5), "gamma", keeps_units=False),
    *several("intensities", scale_intensities, (0.001, 1000), "times", keeps_units=False),
    *several("slices missing", interpolate_slices, (25, 50), "%"),
    *several("field of view", narrow, (75, 50), "% of each axis"),
    *several("rotation", rotate, (10, 20, 44), "degrees"),
)
"""All disturbances, the mildest of each name first."""
