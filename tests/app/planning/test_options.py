"""Options of a plan are checked before a dataset is measured."""

from __future__ import annotations

from typing import Any

import pytest

from hybridseg.app.planning.options import PlanOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": "lots"}, "memory: 'lots': must be a size such as 8GB or 500MB"),
        ({"patient": "("}, r"patient: '\(': must be a regular expression"),
        ({"folds": 1}, "folds: 1: must be at least 2"),
        ({"seed": -1}, "seed: -1: must be at least 0"),
        ({"patch": (0, 8, 8)}, r"patch: \(0, 8, 8\): must be positive and finite"),
        ({"preset": "huge"}, "preset: 'huge': must be one of tiny, small, light, base"),
    ],
)
def test_options_are_checked_when_they_are_made(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PlanOptions(**options)
