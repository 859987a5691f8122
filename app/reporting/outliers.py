"""Volumes of labels over a cohort, and the outliers among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import median_abs_deviation

from hybridseg.app.labels.label_maps import count_labels
from hybridseg.transforms.grid import voxel_volume_ml
from hybridseg.transforms.regions import Regions, region_labels

FEWEST = 5
"""Smallest number of cases in which outliers are marked."""
LIMIT = 3.5
"""Absolute robust z-score above which a volume is an outlier (Iglewicz and Hoaglin 1993)."""
MEDIAN_DEVIATION_TO_STD, MEAN_DEVIATION_TO_STD = 1.482602, 1.253314
"""Standard deviation of a normal distribution divided by its median and by its mean absolute deviation."""


@dataclass(frozen=True, kw_only=True)
class LabelVolume:
    """The volume of a label, or region of labels, in a case.

    Args:
        case: name of the case.
        label: the label's number; of a region, the label that it writes.
        name: name of the label or region.
        ml: volume in ml.
        z: robust z-score of the volume within the cohort; None with too few cases.
    """

    case: str
    label: int
    name: str
    ml: float
    z: float | None = None

    @property
    def outlier(self) -> bool:
        """Whether the volume is far from the others."""
        return self.z is not None and abs(self.z) > LIMIT


def label_volumes(labels: NDArray[np.integer], affine: NDArray[np.floating]) -> dict[int, float]:
    """Return the volume in ml of each label in a map (X, Y, Z); the affine (4, 4) maps indices to mm."""
    voxel_ml = voxel_volume_ml(affine)
    counts = count_labels(labels)
    return {int(label): round(int(counts[label]) * voxel_ml, 6) for label in np.flatnonzero(counts) if label}


def cohort_volumes(
    cases: Mapping[str, Mapping[int, float]],
    *,
    label_names: Mapping[int, str] | None = None,
    regions: Regions | None = None,
) -> list[LabelVolume]:
    """Return the volumes of a cohort with their z-scores.

    Args:
        cases: volume in ml of each label found, by case.
        label_names: the labels to measure, and their names; None takes all that occur.
        regions: measure these, each as a whole, instead of labels.

    Returns:
        The volume of each label or region in every case, 0 where it is missing; labels found in no case are left out.
    """
    if label_names is None:
        label_names = {label: str(label) for label in sorted({label for found in cases.values() for label in found})}
    parts: list[tuple[int, str, Sequence[int]]] = [(label, name, [label]) for label, name in label_names.items()]
    if regions is not None:
        parts = list(zip(region_labels(regions), regions, regions.values(), strict=True))
    volumes = []
    for label, name, members in parts:
        ml = [sum(found.get(member, 0.0) for member in members) for found in cases.values()]
        if any(ml):
            part = [
                LabelVolume(case=case, label=label, name=name, ml=value) for case, value in zip(cases, ml, strict=True)
            ]
            volumes += [replace(volume, z=z) for volume, z in zip(part, robust_z(ml), strict=True)]
    return volumes


def robust_z(values: Sequence[float]) -> list[float | None]:
    """Return the distance of each value from the median, in standard deviations.

    The standard deviation is estimated from the median absolute deviation, or from the mean absolute deviation if more
    than half of the values are equal.

    Returns:
        A score for each value; None for all if there are fewer than `FEWEST`.

    Example:
        >>> from hybridseg.app.reporting.outliers import robust_z
        >>> robust_z([10.0, 11.0, 12.0, 13.0, 30.0])
        [-1.349, -0.674, 0.0, 0.674, 12.141]
    """
    if len(values) < FEWEST:
        return [None] * len(values)
    distances = np.asarray(values) - np.median(values)
    std = MEDIAN_DEVIATION_TO_STD * median_abs_deviation(values) or MEAN_DEVIATION_TO_STD * np.abs(distances).mean()
    return [round(float(distance), 3) for distance in (distances / std if std else distances)]
