"""A value that breaks the rule of its option raises one line with name, value and rule."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import pytest

from hybridseg.app.runtime.options import check_at_least, check_positive


def test_numbers_from_the_least_and_none_pass() -> None:
    check_at_least(2, folds=2, jobs=3, seed=None)
    check_positive(minutes=0.5, size=(1, 2, 3), spacing=None)


def test_number_below_the_least_raises() -> None:
    with pytest.raises(ValueError, match=r"^jobs: 1: must be at least 2$"):
        check_at_least(2, folds=2, jobs=1)


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan, (1, 0, 1), (1.0, math.nan)])
def test_value_that_is_not_positive_raises(value: float | Sequence[float]) -> None:
    with pytest.raises(ValueError, match=rf"^spacing: {re.escape(str(value))}: must be positive and finite$"):
        check_positive(spacing=value)
