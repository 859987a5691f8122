"""What the cases of a dataset have in common: the numbers from which its bundle is planned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .case_fingerprint import LEVELS, CaseFingerprint, FloatTriple

BISECTIONS = 60
"""Steps in which a pooled percentile is searched: more than a float32 has digits."""


@dataclass(frozen=True, kw_only=True)
class PooledIntensities:
    """Percentiles of a channel over the labelled voxels of all cases, pooled.

    They follow from the quantiles of each case, and are right to a tenth of the standard deviation.
    """

    percentile_0_5: float
    percentile_99_5: float


@dataclass(frozen=True, kw_only=True)
class DatasetFingerprint:
    """The sound cases of a dataset; lengths and numbers of voxels are along right, anterior, superior.

    Args:
        cases: number of sound cases.
        median_spacing: voxel size, in mm.
        fine_spacing: 10th percentile of the voxel size, in mm.
        median_extent_mm: shape times spacing, in mm.
        median_labelled_mm: size of the box around all labels of a case, in mm, of the cases that have any.
        median_body_share: share of the volume that the bounding box of the body fills.
        channels: the intensities of each channel.
        labels: the labels that occur, in order.
    """

    cases: int
    median_spacing: FloatTriple
    fine_spacing: FloatTriple
    median_extent_mm: FloatTriple
    median_labelled_mm: FloatTriple
    median_body_share: float
    channels: tuple[PooledIntensities, ...]
    labels: tuple[int, ...]


def summarise_cases(fingerprints: Iterable[CaseFingerprint]) -> DatasetFingerprint:
    """Summarise the cases without problems.

    Raises:
        ValueError: every case has problems, or none has a labelled voxel.
    """
    given = list(fingerprints)
    sound = [case for case in given if case.is_sound]
    if not sound:
        raise ValueError(f"fingerprints: {len(given)}, all with problems: at least one case must have none")
    spacings = np.array([case.spacing for case in sound], dtype=np.float64)
    shapes = np.array([case.shape for case in sound], dtype=np.int64)
    channels = _pool_channels(sound)
    return DatasetFingerprint(
        cases=len(sound),
        median_spacing=_percentile(spacings, 50),
        fine_spacing=_percentile(spacings, 10),
        median_extent_mm=_percentile(shapes * spacings, 50),
        median_labelled_mm=_percentile([case.labelled_extent for case in sound if case.labelled_extent], 50),
        median_body_share=float(np.median([case.body_share or 0.0 for case in sound])),
        channels=channels,
        labels=tuple(sorted({label for case in sound for label in case.label_volumes})),
    )


def _percentile(rows: ArrayLike, percent: float) -> FloatTriple:
    """Return a percentile of each of three columns."""
    right, anterior, superior = np.percentile(np.asarray(rows), percent, axis=0)
    return float(right), float(anterior), float(superior)


def _pool_channels(sound: Sequence[CaseFingerprint]) -> tuple[PooledIntensities, ...]:
    """Pool each channel over the cases, weighted by their labelled voxels; healthy cases have none."""
    labelled = [case for case in sound if case.labelled_voxels]
    if not labelled:
        raise ValueError("fingerprints: no voxel is labelled in any case: some must be")
    voxels = np.array([case.labelled_voxels for case in labelled], dtype=np.float64)
    channels = [np.array(channel) for channel in zip(*(case.quantiles for case in labelled), strict=True)]
    return tuple(
        PooledIntensities(
            percentile_0_5=_pooled_quantile(quantiles, voxels, 0.005),
            percentile_99_5=_pooled_quantile(quantiles, voxels, 0.995),
        )
        for quantiles in channels
    )


def _pooled_quantile(quantiles: np.ndarray, voxels: np.ndarray, level: float) -> float:
    """Find by bisection the intensity below which a share of all voxels lies.

    Args:
        quantiles: (cases, 201), at `LEVELS`; voxels are assumed to be spread evenly between two of them.
        voxels: (cases,), the labelled voxels of each case.
        level: the share.
    """
    low, high = float(quantiles[:, 0].min()), float(quantiles[:, -1].max())
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        shares = [np.interp(middle, row, LEVELS, left=0, right=1) for row in quantiles]
        if np.average(shares, weights=voxels) < level:
            low = middle
        else:
            high = middle
    return high
