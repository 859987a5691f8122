"""Summarise the scores of many cases: outcomes counted, means with standard deviations and confidence intervals.

Intervals are by percentile bootstrap (Efron and Tibshirani 1993, chapter 13) over whole cases, since the labels of one
patient are not independent. With a handful of cases such intervals are too narrow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from .metrics import LabelScore

CONFIDENCE = 0.95
RESAMPLES = 10_000
SEED = 0
"""Seed of the resampling: the same scores give the same interval."""
RESAMPLED_AT_ONCE = 1 << 17
"""Cases drawn at once, over several resamples: 8 bytes each, and few enough for the cache of a processor."""


@dataclass(frozen=True)
class Spread:
    """Mean, standard deviation and confidence interval of a metric.

    Args:
        mean: None without scores.
        std: standard deviation of the population; None without scores.
        low: lower end of the mean's 95 % confidence interval; None with scores of fewer than two cases.
        high: its upper end, or None.
    """

    mean: float | None
    std: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Scores of one label, or of all labels, over cases.

    Args:
        label: number of the label; None for all labels.
        name: name of the label, or `all labels`.
        found: cases with this outcome; for all labels, pairs of case and label.
        missed: likewise.
        false: likewise.
        absent: likewise.
        dice: over all except absent labels.
        surface_dice: over all except absent labels.
        hd95: in mm, over found labels.
        assd: in mm, over found labels.
        volume_difference_ml: prediction minus reference, in ml, over all except absent labels.
    """

    label: int | None
    name: str
    found: int
    missed: int
    false: int
    absent: int
    dice: Spread
    surface_dice: Spread
    hd95: Spread
    assd: Spread
    volume_difference_ml: Spread


def summarise_scores(scores: Iterable[LabelScore]) -> list[Summary]:
    """Summarise the scores of many cases.

    Returns:
        A summary for each label, by number, and last one for all labels, in which every pair of case and label has the
        same weight.
    """
    scores = list(scores)
    labels = sorted({(score.label, score.name) for score in scores})
    by_label = [summarise(label, name, [score for score in scores if score.label == label]) for label, name in labels]
    return [*by_label, summarise(None, "all labels", scores)]


def summarise(label: int | None, name: str, scores: Sequence[LabelScore]) -> Summary:
    """Summarise the scores of one label, or of all labels."""
    outcomes = Counter(score.outcome for score in scores)

    def over_cases(metric: Callable[[LabelScore], float | None]) -> Spread:
        return spread((score.case, metric(score)) for score in scores)

    return Summary(
        label=label,
        name=name,
        found=outcomes["found"],
        missed=outcomes["missed"],
        false=outcomes["false"],
        absent=outcomes["absent"],
        dice=over_cases(lambda score: score.dice),
        surface_dice=over_cases(lambda score: score.surface_dice),
        hd95=over_cases(lambda score: score.hd95),
        assd=over_cases(lambda score: score.assd),
        volume_difference_ml=over_cases(lambda score: score.volume_difference_ml),
    )


def spread(scored: Iterable[tuple[str, float | None]]) -> Spread:
    """Return mean, standard deviation and confidence interval of the values that are not None.

    Args:
        scored: pairs of case and value; a case may occur several times, once for each of its labels.

    Examples:
        >>> from hybridseg.app.evaluation.summary import spread
        >>> spread([("one", 0.8), ("two", 0.9), ("three", None)])
        Spread(mean=0.85, std=0.05, low=0.8, high=0.9)
    """
    by_case: dict[str, list[float]] = {}
    for case, value in scored:
        if value is not None:
            by_case.setdefault(case, []).append(value)
    values = [value for case_values in by_case.values() for value in case_values]
    if not values:
        return Spread(None, None, None, None)
    low, high = interval([*by_case.values()]) if len(by_case) > 1 else (None, None)
    return Spread(round(fmean(values), 6), round(pstdev(values), 6), low, high)


def interval(cases: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return the 95 % confidence interval of the mean over all values, by resampling cases.

    Args:
        cases: the values of each case; at least two cases.
    """
    sums, counts = np.array([sum(values) for values in cases]), np.array([len(values) for values in cases])

    def mean(sums: NDArray[np.float64], counts: NDArray[np.intp], axis: int) -> NDArray[np.float64]:
        means: NDArray[np.float64] = sums.sum(axis=axis) / counts.sum(axis=axis)
        return means

    ends = bootstrap(
        (sums, counts),
        mean,
        paired=True,
        n_resamples=RESAMPLES,
        batch=max(1, RESAMPLED_AT_ONCE // len(cases)),
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return round(float(ends.low), 6), round(float(ends.high), 6)
