"""What the cases of a dataset are like together: from this its bundle is planned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .case_fingerprint import LEVELS, CaseFingerprint, ChannelFingerprint, Triple

HALVINGS = 60
"""Steps in which a pooled percentile is searched: more than the digits of a float32."""


@dataclass(frozen=True, kw_only=True)
class PooledIntensities:
    """Intensities of a channel over the labelled voxels of all cases, as if they were one.

    Args:
        voxels: how many.
        mean, deviation, minimum, maximum: over them.
        percentile_0_5, percentile_99_5: over them, to a tenth of the deviation, from the quantiles of each case.
    """

    voxels: int
    mean: float
    deviation: float
    minimum: float
    maximum: float
    percentile_0_5: float
    percentile_99_5: float


@dataclass(frozen=True, kw_only=True)
class LabelSummary:
    """A label over the cases that have it.

    Args:
        cases: how many have it.
        millilitres: median of its volume.
        components: median number of its pieces.
        extent_mm: median edges of its box.
    """

    cases: int
    millilitres: float
    components: float
    extent_mm: Triple


@dataclass(frozen=True, kw_only=True)
class DatasetFingerprint:
    """The sound cases of a dataset; lengths and numbers of voxels are along right, anterior, superior.

    Args:
        cases: how many are sound.
        median_spacing: voxel size, in mm.
        fine_spacing: its 10th percentile, in mm.
        median_shape: voxels at each case's own spacing.
        largest_shape: the most along each axis.
        median_extent_mm: of the volumes, shape times spacing.
        median_content: share of the volume that lies in the box around the body.
        channels: their intensities.
        labels: those that occur, by number.
    """

    cases: int
    median_spacing: Triple
    fine_spacing: Triple
    median_shape: Triple
    largest_shape: tuple[int, int, int]
    median_extent_mm: Triple
    median_content: float
    channels: tuple[PooledIntensities, ...]
    labels: Mapping[int, LabelSummary]


def summarise_cases(fingerprints: Iterable[CaseFingerprint]) -> DatasetFingerprint:
    """Pool the cases without faults.

    Raises:
        ValueError: all have faults, or none has a labelled voxel.
    """
    given = list(fingerprints)
    sound = [case for case in given if case.is_sound]
    if not sound:
        raise ValueError(f"fingerprints: {len(given)}, all with faults: at least one case must be sound")
    spacings = np.array([case.spacing for case in sound], dtype=np.float64)
    shapes = np.array([case.shape for case in sound], dtype=np.int64)
    return DatasetFingerprint(
        cases=len(sound),
        median_spacing=_percentile(spacings, 50),
        fine_spacing=_percentile(spacings, 10),
        median_shape=_percentile(shapes, 50),
        largest_shape=(int(shapes[:, 0].max()), int(shapes[:, 1].max()), int(shapes[:, 2].max())),
        median_extent_mm=_percentile(shapes * spacings, 50),
        median_content=float(np.median([case.content_margin or 0.0 for case in sound])),
        channels=tuple(_pool(parts) for parts in zip(*(case.channels for case in sound), strict=True)),
        labels={
            label: _summarise_label(sound, label) for label in sorted({key for case in sound for key in case.labels})
        },
    )


def _percentile(rows: ArrayLike, percent: float) -> Triple:
    """Of each of three columns."""
    right, anterior, superior = np.percentile(np.asarray(rows), percent, axis=0)
    return float(right), float(anterior), float(superior)


def _pool(parts: Sequence[ChannelFingerprint]) -> PooledIntensities:
    """One channel of many cases, each weighted by its number of labelled voxels; healthy cases have none."""
    parts = [part for part in parts if part.voxels]
    if not parts:
        raise ValueError("fingerprints: no voxel is labelled in any case: some must be")
    weights = np.array([part.voxels for part in parts], dtype=np.float64)
    means = np.array([part.mean for part in parts], dtype=np.float64)
    deviations = np.array([part.deviation for part in parts], dtype=np.float64)
    quantiles = np.array([part.quantiles for part in parts], dtype=np.float64)
    mean = float(np.average(means, weights=weights))
    return PooledIntensities(
        voxels=int(weights.sum()),
        mean=mean,
        deviation=float(np.sqrt(np.average(deviations**2 + (means - mean) ** 2, weights=weights))),
        minimum=float(quantiles[:, 0].min()),
        maximum=float(quantiles[:, -1].max()),
        percentile_0_5=_pooled_quantile(quantiles, weights, 0.005),
        percentile_99_5=_pooled_quantile(quantiles, weights, 0.995),
    )


def _pooled_quantile(quantiles: np.ndarray, weights: np.ndarray, level: float) -> float:
    """The intensity below which a share of all voxels lies, by bisection.

    Args:
        quantiles: (cases, 201), at `LEVELS`; between two of them voxels are taken to be spread evenly.
        weights: (cases,), voxels of each.
        level: the share.
    """
    low, high = float(quantiles[:, 0].min()), float(quantiles[:, -1].max())
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        shares = [np.interp(middle, row, LEVELS, left=0, right=1) for row in quantiles]
        if np.average(shares, weights=weights) < level:
            low = middle
        else:
            high = middle
    return high


def _summarise_label(sound: Sequence[CaseFingerprint], label: int) -> LabelSummary:
    found = [case.labels[label] for case in sound if label in case.labels]
    return LabelSummary(
        cases=len(found),
        millilitres=float(np.median([one.millilitres for one in found])),
        components=float(np.median([one.components for one in found])),
        extent_mm=_percentile([one.extent_mm for one in found], 50),
    )
