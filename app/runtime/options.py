"""Checks of the values of options: an invalid one is a one-line error that names the option and its rule."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import inf

UNITS = {"GB": 10**9, "MB": 10**6, "GIB": 2**30, "MIB": 2**20}


def check_at_least(least: int, **options: int | None) -> None:
    """Check that numbers are large enough.

    Args:
        least: the smallest number allowed.
        **options: the value of each option by name; None where it was not given.

    Raises:
        ValueError: a number is smaller.
    """
    for name, value in options.items():
        if value is not None and value < least:
            raise ValueError(f"{name}: {value}: must be at least {least}")


def check_positive(**options: float | Sequence[float] | None) -> None:
    """Check that numbers, or all numbers of a sequence, are above 0 and finite.

    Args:
        **options: the value of each option by name; None where it was not given.

    Raises:
        ValueError: a number is 0, negative, infinite or NaN.
    """
    for name, value in options.items():
        numbers = [] if value is None else value if isinstance(value, Sequence) else [value]
        if not all(0 < number < inf for number in numbers):
            raise ValueError(f"{name}: {value}: must be positive and finite")


def parse_size(**option: str) -> int:
    """Return the bytes of a size such as 8GB.

    Args:
        **option: the text of the option by its name.

    Raises:
        ValueError: the text is not a size.
    """
    ((name, text),) = option.items()
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([GM]i?B)", text.strip(), re.IGNORECASE)
    if match is None or float(match[1]) <= 0:
        raise ValueError(f"{name}: {text!r}: must be a size such as 8GB or 500MB")
    return int(float(match[1]) * UNITS[match[2].upper()])
