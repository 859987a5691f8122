"""Summaries count empty labels, and their confidence intervals resample cases."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from hybridseg.app.evaluation.metrics import LabelScore, Outcome
from hybridseg.app.evaluation.summary import Spread, spread, summarise_scores


def score(case: str, outcome: Outcome = "found", *, label: int = 1, dice: float | None = None) -> LabelScore:
    """Return a score with 1 ml predicted too much and, if found, an HD95 of 2 mm and an ASSD of 1 mm."""
    found, absent = outcome == "found", outcome == "absent"
    return LabelScore(
        case=case,
        label=label,
        name=f"label {label}",
        outcome=outcome,
        reference_voxels=0,
        prediction_voxels=0,
        reference_ml=None if absent else 3.0,
        prediction_ml=None if absent else 4.0,
        volume_difference_ml=None if absent else 1.0,
        dice=dice if found else None if absent else 0.0,
        surface_dice=dice if found else None if absent else 0.0,
        hd95=2.0 if found else None,
        assd=1.0 if found else None,
    )


def test_missed_labels_count_in_the_mean() -> None:
    scores = [score("a", dice=1.0), score("b", dice=0.9), score("c", "missed"), score("d", "false")]
    label, overall = summarise_scores([*scores, score("e", "absent")])
    assert (label.found, label.missed, label.false, label.absent) == (2, 1, 1, 1)
    assert label.dice.mean == label.surface_dice.mean == pytest.approx((1 + 0.9 + 0 + 0) / 4)
    assert (label.hd95, label.assd) == (Spread(2.0, 0.0, 2.0, 2.0), Spread(1.0, 0.0, 1.0, 1.0))
    assert label.volume_difference_ml == Spread(1.0, 0.0, 1.0, 1.0)
    assert (overall.dice, overall.name, overall.label) == (label.dice, "all labels", None)


def test_summary_without_scores_has_no_mean() -> None:
    (overall,) = summarise_scores([])
    assert overall.dice == Spread(None, None, None, None)


def test_labels_of_a_single_case_have_no_interval() -> None:
    *_, overall = summarise_scores([score("a", label=1, dice=0.5), score("a", label=2, dice=0.7), score("b", "absent")])
    assert overall.dice == Spread(0.6, 0.1, None, None)


def test_equal_scores_have_an_interval_of_zero_width() -> None:
    assert spread((str(case), 1 / 3) for case in range(7)) == Spread(0.333333, 0.0, 0.333333, 0.333333)


def test_interval_is_reproducible() -> None:
    scored = [(str(case), value) for case, value in enumerate(np.random.default_rng(0).random(20))]
    assert spread(scored) == spread(scored)


def test_interval_equals_that_of_all_possible_resamples() -> None:
    cases = [[0.1], [0.5, 0.6], [0.9, 0.8, 1.0], [0.3], [0.4, 0.0]]
    values = spread((str(case), value) for case, values in enumerate(cases) for value in values)
    means = [
        sum(map(sum, drawn)) / sum(map(len, drawn)) for drawn in itertools.product(cases, repeat=len(cases))
    ]  # all 5^5 of them
    assert (values.low, values.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=0.01)


def test_interval_of_many_cases_approaches_the_normal_one() -> None:
    scores = np.random.default_rng(1).normal(0.8, 0.05, 400)
    measured = spread((str(case), value) for case, value in enumerate(scores))
    half = 1.96 * scores.std() / math.sqrt(400)
    assert (measured.low, measured.high) == pytest.approx((scores.mean() - half, scores.mean() + half), abs=0.1 * half)


def test_correlated_labels_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(2).random(12).round(6).tolist()
    scores = [score(str(case), label=label, dice=value) for label in (1, 2, 3) for case, value in enumerate(values)]
    first, *_, overall = summarise_scores(scores)
    assert first.dice.low is not None
    assert (overall.dice.low, overall.dice.high) == pytest.approx((first.dice.low, first.dice.high), abs=1e-5)


def test_cases_without_the_label_do_not_change_its_interval() -> None:
    scores = [score("a", dice=0.5), score("b", dice=0.9), score("c", dice=0.6)]
    alone, among_absent = (
        summarise_scores([*scores, *(score(f"absent {number}", "absent") for number in range(count))])[0].dice
        for count in (0, 30)
    )
    assert alone == among_absent
