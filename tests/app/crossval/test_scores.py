"""Tables over folds, worst cases, and when one network is as good as several."""

from __future__ import annotations

from hybridseg.app.crossval.scores import as_good, case_dice, fold_table, worst_cases

from .scored_cases import CASES, SPLIT, score

SCORES = [score(case, 0.5 + index / 100) for index, case in enumerate(CASES)]


def test_table_has_a_line_for_each_fold() -> None:
    assert fold_table(SCORES, SPLIT).splitlines() == [
        "fold  cases   organ",
        "0         5  0.5200",
        "1         5  0.5700",
        "all      10  0.5450",
    ]


def test_worst_cases_are_listed_with_their_fold() -> None:
    assert worst_cases(SCORES[::-1], SPLIT)[0] == "case_0 (fold 0): 0.5000"
    assert len(worst_cases(SCORES, SPLIT)) == 5


def test_network_is_as_good_if_it_loses_little_at_worst() -> None:
    before = case_dice(SCORES)
    little, much = ({case: value - loss for case, value in before.items()} for loss in (0.004, 0.006))
    assert as_good(before, little, SPLIT) == (True, -0.004)
    assert as_good(before, much, SPLIT)[0] is False
    uncertain = {case: value + (0.05 if index % 2 else -0.05) for index, (case, value) in enumerate(before.items())}
    assert as_good(before, uncertain, SPLIT)[0] is False
    assert as_good({CASES[0]: 0.5}, {CASES[0]: 0.5}, SPLIT)[0] is False  # one patient shows nothing
