"""The paired test is over patients, and exact for a few of them."""

from __future__ import annotations

import pytest

from hybridseg.app.crossval.paired import paired_p, patient_means


def test_cases_of_a_patient_count_once() -> None:
    values = {"a1": 0.8, "a2": 0.6, "b1": 0.9}
    assert patient_means(values, {"a1": "a", "a2": "a", "b1": "b"}) == pytest.approx({"a": 0.7, "b": 0.9})


def test_p_value_is_the_share_of_sign_flips_as_extreme() -> None:
    assert paired_p([0.1, 0.2, 0.3, 0.1], "greater") == 1 / 16
    assert paired_p([0.1, 0.2, 0.3, 0.1]) == 2 / 16
    assert paired_p([0.1, 0.2, 0.3, -0.1], "greater") == 3 / 16  # nothing, or either of the two flipped
    assert paired_p([-0.1, -0.2], "greater") == 1.0
    assert paired_p([0.1], "greater") == 0.5


def test_patients_without_a_difference_change_nothing() -> None:
    assert paired_p([0.1, 0.0, 0.2, 0.0], "greater") == paired_p([0.1, 0.2], "greater") == 0.25
    assert paired_p([0.0, 0.0]) == 1.0
    assert paired_p([]) == 1.0
