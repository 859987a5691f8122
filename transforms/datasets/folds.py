"""Cross-validation folds that keep the cases of a patient together."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence


def identity(case: str) -> str:
    """Return the case itself: every case is its own patient."""
    return case


def make_folds(
    cases: Sequence[str], *, folds: int = 5, seed: int = 0, patient: Callable[[str], str] = identity
) -> list[list[str]]:
    """Split cases into folds of nearly equal size, with all cases of a patient in the same fold.

    Patients are shuffled by the seed, then assigned to the smallest fold, those with most cases first, as in
    scikit-learn's GroupKFold. The same cases in any order and the same seed give the same folds.

    Args:
        cases: names of the cases.
        folds: number of folds.
        seed: seed of the shuffle.
        patient: maps the name of a case to its patient.

    Returns:
        The names of each fold's cases, sorted.

    Raises:
        ValueError: fewer than two folds, fewer patients than folds, or a repeated case.

    Examples:
        >>> make_folds(["p1_early", "p1_late", "p2", "p3"], folds=2, patient=lambda case: case.split("_")[0])
        [['p1_early', 'p1_late'], ['p2', 'p3']]
    """
    if folds < 2:
        raise ValueError(f"folds: {folds}: must be at least 2")
    groups: dict[str, list[str]] = {}
    for case in sorted(cases):
        group = groups.setdefault(patient(case), [])
        if case in group:
            raise ValueError(f"cases: {case!r} twice: a case may be named once")
        group.append(case)
    if len(groups) < folds:
        raise ValueError(f"folds: {folds} of {len(groups)} patients: every fold needs a patient")
    shuffled = random.Random(seed).sample(sorted(groups), len(groups))
    divided: list[list[str]] = [[] for _ in range(folds)]
    for name in sorted(shuffled, key=lambda name: -len(groups[name])):
        min(divided, key=len).extend(groups[name])
    return [sorted(fold) for fold in divided]
