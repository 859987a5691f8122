"""A value that breaks the rule of its option raises one line with name, value and rule."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import pytest

from hybridseg.app.runtime.options import check_at_least, check_positive, parse_size


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


@pytest.mark.parametrize(("text", "size"), [("8GB", 8 * 10**9), ("1.5 gib", 3 * 2**29), ("500MB", 5 * 10**8)])
def test_size_is_parsed_with_its_unit(text: str, size: int) -> None:
    assert parse_size(memory=text) == size


@pytest.mark.parametrize("text", ["8", "0GB", "-1GB", "many", ""])
def test_text_that_is_no_size_raises(text: str) -> None:
    with pytest.raises(ValueError, match=rf"^max_memory: '{text}': must be a size such as 8GB or 500MB$"):
        parse_size(max_memory=text)
