"""How large each label is, and how bright the image is within it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from hybridseg.transforms.grid import voxel_volume_ml

PERCENTILES = (5, 25, 50, 75, 95)
DIGITS = 7
"""Of an intensity, whatever its unit makes of its size: about those that a float32 voxel has."""


@dataclass(frozen=True, kw_only=True)
class LabelStatistics:
    """A label of a case.

    Args:
        case: name of the case.
        label: the label's number.
        name: the label's name.
        channel: of the image, from 0.
        voxels: with the label.
        volume_ml: their volume.
        mean: of the image's intensities there, in the unit of its file (HU for CT); None without voxels, as are
        p5, p25, median, p75, p95: percentiles.
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
    labels: NDArray[np.integer],
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
        label_names: the labels to measure, and their names.
        case: name of the case.

    Returns:
        An entry for each label and channel.
    """
    voxel_ml = voxel_volume_ml(affine)
    boxes = find_objects(labels)
    rows = []
    for label, name in label_names.items():
        box = boxes[label - 1] if label <= len(boxes) else None
        mask = labels[box] == label if box is not None else np.zeros((0,), dtype=bool)
        for channel, image in enumerate(channels):
            values = image[box][mask] if box is not None else np.array([])
            mean = float(values.mean(dtype=np.float64)) if values.size else None
            spread = np.percentile(values, PERCENTILES).tolist() if values.size else [None] * len(PERCENTILES)
            mean, p5, p25, median, p75, p95 = map(rounded, (mean, *spread))
            row = LabelStatistics(
                case=case,
                label=label,
                name=name,
                channel=channel,
                voxels=int(mask.sum()),
                volume_ml=round(int(mask.sum()) * voxel_ml, 6),
                mean=mean,
                p5=p5,
                p25=p25,
                median=median,
                p75=p75,
                p95=p95,
            )
            rows.append(row)
    return rows


def rounded(value: float | None) -> float | None:
    """An intensity with `DIGITS` digits."""
    return None if value is None else float(f"{value:.{DIGITS}g}")


def as_records(rows: Sequence[LabelStatistics]) -> list[dict[str, Any]]:
    """The rows for JSON and CSV."""
    return [asdict(row) for row in rows]
