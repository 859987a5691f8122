"""The volume of each label, and the image intensities within it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from hybridseg.transforms.grid import voxel_volume_ml

from .label_maps import LabelMap

PERCENTILES = (5, 25, 50, 75, 95)
DIGITS = 7
"""Significant digits of an intensity, whatever its unit: about as many as float32 has."""


@dataclass(frozen=True, kw_only=True)
class LabelStatistics:
    """Volume and intensities of one label in one channel of one case.

    Intensities are in the unit of the image file (HU for CT), and None if the label has no voxels.

    Args:
        case: name of the case.
        label: number of the label.
        name: name of the label.
        channel: of the image, from 0.
        voxels: number of voxels with the label.
        volume_ml: their volume, in ml.
        mean: mean intensity.
        p5: 5th percentile of the intensity.
        p25: 25th percentile.
        median: 50th percentile.
        p75: 75th percentile.
        p95: 95th percentile.
    """

    case: str
    label: int
    name: str
    channel: int
    voxels: int
    volume_ml: float
    mean: float | None
    p5: float | None
    p25: float | None
    median: float | None
    p75: float | None
    p95: float | None


def label_statistics(
    labels: LabelMap,
    channels: Sequence[NDArray[np.floating]],
    *,
    affine: NDArray[np.floating],
    label_names: Mapping[int, str],
    case: str = "",
) -> list[LabelStatistics]:
    """Measure the labels of a case.

    Args:
        labels: (X, Y, Z).
        channels: images (X, Y, Z) on the same grid.
        affine: (4, 4), voxel indices to mm.
        label_names: names of the labels to measure, by number.
        case: name of the case.

    Returns:
        Statistics of each label and channel.
    """
    voxel_ml = voxel_volume_ml(affine)
    boxes = find_objects(labels)
    rows = []
    for label, name in label_names.items():
        box = boxes[label - 1] if label <= len(boxes) else None
        mask = labels[box] == label if box is not None else np.zeros((0,), dtype=bool)
        voxels = int(mask.sum())
        for channel, image in enumerate(channels):
            intensities = image[box][mask] if box is not None else np.array([])
            mean = float(intensities.mean(dtype=np.float64)) if voxels else None
            percentiles = np.percentile(intensities, PERCENTILES).tolist() if voxels else [None] * len(PERCENTILES)
            p5, p25, median, p75, p95 = map(round_intensity, percentiles)
            row = LabelStatistics(
                case=case,
                label=label,
                name=name,
                channel=channel,
                voxels=voxels,
                volume_ml=round(voxels * voxel_ml, 6),
                mean=round_intensity(mean),
                p5=p5,
                p25=p25,
                median=median,
                p75=p75,
                p95=p95,
            )
            rows.append(row)
    return rows


def round_intensity(value: float | None) -> float | None:
    """Round an intensity to `DIGITS` significant digits."""
    return None if value is None else float(f"{value:.{DIGITS}g}")
