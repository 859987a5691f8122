"""Dice over folds and patients: tables for the terminal, and the comparison of two configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from statistics import fmean

from hybridseg.app.evaluation.metrics import LabelScore
from hybridseg.app.evaluation.summary import spread
from hybridseg.app.runtime.console import align

from .paired import paired_p, patient_means
from .split import Split

WORST = 5
"""Cases that are listed as the worst."""
MARGIN = 0.005
"""Dice that one network may lose against an ensemble of several, which takes several times as long."""


def case_dice(scores: Sequence[LabelScore]) -> dict[str, float]:
    """Return the mean Dice of each case over its labels; cases without any label are left out."""
    dice: dict[str, list[float]] = {}
    for score in scores:
        if score.dice is not None:
            dice.setdefault(score.case, []).append(score.dice)
    return {case: fmean(values) for case, values in dice.items()}


def fold_table(scores: Sequence[LabelScore], split: Split) -> str:
    """Return a table of mean Dice: a line for each fold and one for all, a column for each label."""
    names = list(dict.fromkeys(score.name for score in scores))
    header = ["fold", "cases", *names, *(["all labels"] if len(names) > 1 else [])]
    rows = [header]
    fold_of = split.fold_of
    for index in range(len(split.folds)):
        rows.append(fold_row(str(index), [score for score in scores if fold_of[score.case] == index], names))
    rows.append(fold_row("all", scores, names))
    return "\n".join(align(rows))


def fold_row(title: str, scores: Sequence[LabelScore], names: Sequence[str]) -> list[str]:
    """Return the cells of a fold: number of cases, mean Dice of each label, and of all."""
    cells = [title, str(len({score.case for score in scores}))]
    parts = [[score for score in scores if score.name == name] for name in names]
    for part in (*parts, *([scores] if len(names) > 1 else [])):
        mean = spread((score.case, score.dice) for score in part).mean
        cells.append("-" if mean is None else f"{mean:.4f}")
    return cells


def compare(first: Sequence[LabelScore], second: Sequence[LabelScore], split: Split) -> tuple[float, float]:
    """Compare two configurations on the same patients.

    Returns:
        The mean Dice of the second minus that of the first over patients, and its two-sided p value.
    """
    before, after = (patient_means(case_dice(scores), split.patients) for scores in (first, second))
    differences = [after[patient] - before[patient] for patient in before if patient in after]
    return fmean(differences or [0.0]), paired_p(differences)


def worst_cases(scores: Sequence[LabelScore], split: Split) -> list[str]:
    """List the cases of lowest mean Dice, each with its fold."""
    dice = case_dice(scores)
    worst = sorted(dice, key=lambda case: (dice[case], case))[:WORST]
    return [f"{case} (fold {split.fold_of[case]}): {dice[case]:.4f}" for case in worst]


def as_good(first: Mapping[str, float], second: Mapping[str, float], split: Split) -> tuple[bool, float]:
    """Return whether a second network is as good as a first on test cases, within `MARGIN`.

    Args:
        first: Dice of each case.
        second: Dice of each case.
        split: the patient of each case.

    Returns:
        Whether the mean Dice over patients of the second is at worst `MARGIN` below that of the first, and what it is
        at worst: the lower end of the 95 % confidence interval of the difference.
    """
    before, after = (patient_means(dice, split.patients) for dice in (first, second))
    difference = spread((patient, after[patient] - before[patient]) for patient in before if patient in after)
    low = -inf if difference.low is None else difference.low
    return low > -MARGIN, low
