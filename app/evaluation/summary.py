"""Scores of many cases summed up: outcomes counted, means with their deviations and confidence intervals.

The intervals are of the percentile bootstrap (Efron and Tibshirani 1993, chapter 13), which resamples whole cases: the
labels of one patient are not independent. With a handful of cases such intervals are too narrow.
"""

from __future__ import annotations

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
"""Of the resampling: the same scores give the same interval."""
RESAMPLED_AT_ONCE = 1 << 22
"""Cases drawn at once, of all that the resamples take: 8 bytes each."""


@dataclass(frozen=True)
class Spread:
    """Mean over scores, how far they spread, and how far the mean can be trusted.

    Args:
        mean: None when there are no scores.
        std: standard deviation (of the population); None when there are no scores.
        low: lower end of the mean's 95 % confidence interval; None when fewer than two cases have scores.
        high: its upper end, or None.
    """

    mean: float | None
    std: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The agreement about one label, or about all, over cases.

    Args:
        label: the label's number; None for all labels.
        name: the label's name, or `all labels`.
        found, missed, false, absent: cases with each outcome; for all labels, pairs of case and label.
        dice: over all that are not absent.
        surface_dice: over all that are not absent.
        hd95: in mm, over the found ones.
        assd: in mm, over the found ones.
        volume_difference_ml: prediction minus reference, in ml, over all that are not absent.
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
    """Sum up the scores of many cases.

    Returns:
        One summary for each label, in order of number, and at the end one for all labels, which counts every pair of
        case and label alike.
    """
    scores = list(scores)
    labels = sorted({(score.label, score.name) for score in scores})
    by_label = [sum_up(label, name, [score for score in scores if score.label == label]) for label, name in labels]
    return [*by_label, sum_up(None, "all labels", scores)]


def sum_up(label: int | None, name: str, scores: Sequence[LabelScore]) -> Summary:
    """Count the outcomes, and take mean, deviation and interval of what was scored."""
    outcomes = [score.outcome for score in scores]

    def over_cases(value: Callable[[LabelScore], float | None]) -> Spread:
        return spread((score.case, value(score)) for score in scores)

    return Summary(
        label=label,
        name=name,
        found=outcomes.count("found"),
        missed=outcomes.count("missed"),
        false=outcomes.count("false"),
        absent=outcomes.count("absent"),
        dice=over_cases(lambda score: score.dice),
        surface_dice=over_cases(lambda score: score.surface_dice),
        hd95=over_cases(lambda score: score.hd95),
        assd=over_cases(lambda score: score.assd),
        volume_difference_ml=over_cases(lambda score: score.volume_difference_ml),
    )


def spread(scored: Iterable[tuple[str, float | None]]) -> Spread:
    """Mean, deviation and interval of the values that are not None.

    Args:
        scored: case and value; a case may come several times, with a value for each of its labels.

    Examples:
        >>> from hybridseg.app.evaluation.summary import spread
        >>> spread([("one", 0.8), ("two", 0.9), ("three", None)])
        Spread(mean=0.85, std=0.05, low=0.8, high=0.9)
    """
    by_case: dict[str, list[float]] = {}
    for case, value in scored:
        if value is not None:
            by_case.setdefault(case, []).append(value)
    known = [value for values in by_case.values() for value in values]
    if not known:
        return Spread(None, None, None, None)
    low, high = interval([*by_case.values()]) if len(by_case) > 1 else (None, None)
    return Spread(round(fmean(known), 6), round(pstdev(known), 6), low, high)


def interval(cases: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Ends of the 95 % confidence interval of the mean over all values, by resampling cases.

    Args:
        cases: the values of each case, of two cases at least.
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
