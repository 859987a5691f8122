"""The first configuration stays unless another is significantly better."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hybridseg.app.crossval.configuration import Configuration, choose_configuration
from hybridseg.app.crossval.out_of_fold import OutOfFold
from hybridseg.app.crossval.tuning import Tuning
from hybridseg.app.runtime.failed_cases import CaseFailures

from .scored_cases import CASES, SPLIT, score


def configuration(name: str, dice: Sequence[float], members: int = 1) -> Configuration:
    predictions = OutOfFold(
        cases={}, folders=[], split=SPLIT, label_names={1: "organ"}, regions=None, failures=CaseFailures("crossval")
    )
    return Configuration(
        name=name,
        members=[Path(name)] * members,
        predictions=predictions,
        tuning=Tuning(),
        maps={},
        scores=[score(case, value) for case, value in zip(CASES, dice, strict=True)],
    )


FIRST = configuration("first", [0.8 + index / 100 for index in range(10)])
BETTER = configuration("better", [0.82 + index / 100 for index in range(10)])
MIXED = configuration("mixed", [0.8 + index / 100 + (0.1 if index == 3 else -0.001) for index in range(10)])
JOINED = configuration("first+better", [0.83 + index / 100 for index in range(10)], members=2)
ALIKE = configuration("first+mixed", [0.8 + index / 100 for index in range(10)], members=2)


def test_significantly_better_bundle_is_chosen() -> None:
    chosen, lines = choose_configuration([FIRST, BETTER], SPLIT)
    assert chosen is BETTER
    assert lines == ["better against first: Dice +0.0200, p 0.00195: significantly better"]


def test_first_bundle_stays_if_the_difference_may_be_chance() -> None:
    chosen, lines = choose_configuration([FIRST, MIXED], SPLIT)
    assert chosen is FIRST
    assert lines[0].startswith("mixed against first: Dice +0.0091, p")
    assert lines[0].endswith("not significantly better")


def test_ensemble_of_bundles_must_beat_the_best_of_them() -> None:
    assert choose_configuration([FIRST, BETTER, JOINED], SPLIT)[0] is JOINED
    assert choose_configuration([FIRST, MIXED, ALIKE], SPLIT)[0] is FIRST


def test_one_bundle_needs_no_comparison() -> None:
    assert choose_configuration([FIRST], SPLIT) == (FIRST, [])
