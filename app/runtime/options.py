"""Checks of the values of options: an invalid one is a one-line error that names the option and its rule."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf


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
