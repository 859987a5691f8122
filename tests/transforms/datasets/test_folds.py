"""Folds keep patients together and have nearly equal sizes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridseg.transforms import make_folds


@settings(deadline=None, max_examples=100)
@given(count=st.integers(2, 60), folds=st.integers(2, 6), seed=st.integers(0, 99))
def test_folds_without_patients_are_of_equal_size(count: int, folds: int, seed: int) -> None:
    cases = [f"{index:03}" for index in range(max(count, folds))]
    divided = make_folds(cases, folds=folds, seed=seed)
    assert sorted(case for fold in divided for case in fold) == cases
    sizes = [len(fold) for fold in divided]
    assert len(sizes) == folds
    assert max(sizes) - min(sizes) <= 1


@settings(deadline=None, max_examples=100)
@given(scans=st.lists(st.integers(1, 7), min_size=5, max_size=40), seed=st.integers(0, 99))
def test_folds_keep_patients_together(scans: list[int], seed: int) -> None:
    cases = [f"p{patient}_{scan}" for patient, count in enumerate(scans) for scan in range(count)]
    divided = make_folds(cases, seed=seed, patient=lambda case: case.split("_")[0])
    patients = [{case.split("_")[0] for case in fold} for fold in divided]
    assert sum(map(len, patients)) == len(scans) == len(set().union(*patients))
    assert sorted(case for fold in divided for case in fold) == sorted(cases)
    sizes = [len(fold) for fold in divided]
    assert min(sizes) > 0
    assert max(sizes) - min(sizes) <= max(scans)


def test_folds_depend_on_the_seed_not_on_the_case_order() -> None:
    cases = [f"{index:03}" for index in range(20)]
    shuffled = random.Random(1).sample(cases, 20)
    assert make_folds(cases) == make_folds(shuffled)
    assert make_folds(cases) != make_folds(cases, seed=1)
    assert make_folds(cases)[0] != cases[:4]


def test_invalid_folds_are_errors() -> None:
    with pytest.raises(ValueError, match=r"folds: 1: must be at least 2"):
        make_folds(["a", "b"], folds=1)
    with pytest.raises(ValueError, match=r"folds: 3 of 2 patients: every fold needs a patient"):
        make_folds(["a1", "a2", "b1"], folds=3, patient=lambda case: case[0])
    with pytest.raises(ValueError, match=r"cases: 'a' twice: a case may be named once"):
        make_folds(["a", "b", "a"], folds=2)
