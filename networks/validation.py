"""Checks of single values, and arithmetic on triples (D, H, W)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from operator import mul
from typing import Any

Triple = tuple[int, int, int]


def positive(value: Any, name: str) -> int:
    """Check that `value` is an integer of at least 1.

    Raises:
        ValueError: it is not; the message gives `name`, the value and the rule.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}: {value!r}: must be a positive integer")
    return value


def divisor(value: Any, whole: int, name: str) -> int:
    """Check that `value` divides a number of channels.

    Raises:
        ValueError: it does not; the message gives `name`, the value and the rule.
    """
    if whole % positive(value, name):
        raise ValueError(f"{name}: {value}: must divide {whole} channels")
    return int(value)


def probability(value: Any, name: str) -> float:
    """Check that `value` is at least 0 and below 1.

    Raises:
        ValueError: it is not; the message gives `name`, the value and the rule.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"{name}: {value!r}: must be at least 0 and below 1")
    return float(value)


def not_negative(value: Any, name: str) -> float:
    """Check that `value` is a finite number of at least 0.

    Raises:
        ValueError: it is not; the message gives `name`, the value and the rule.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{name}: {value!r}: must be a number of at least 0")
    return float(value)


def triple(value: Any, name: str) -> Triple:
    """Return one integer per axis (D, H, W) from one integer or three.

    Raises:
        ValueError: neither one nor three positive integers; the message gives `name`, the value and the rule.
    """
    values = (value,) * 3 if isinstance(value, int) else value
    if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != 3:
        raise ValueError(f"{name}: {value!r}: must be one integer or three")
    depth, height, width = (positive(entry, name) for entry in values)
    return depth, height, width


def odd_triple(value: Any, name: str) -> Triple:
    """As `triple`, but only odd integers, such as kernel sizes.

    Raises:
        ValueError: neither one nor three positive odd integers; the message gives `name`, the value and the rule.
    """
    values = triple(value, name)
    if not all(entry % 2 for entry in values):
        raise ValueError(f"{name}: {value!r}: must be odd")
    return values


def each_axis(rule: Callable[..., int], *triples: Iterable[int]) -> Triple:
    """Apply a rule to the depths of all triples, to their heights, and to their widths."""
    depth, height, width = map(rule, *triples)
    return depth, height, width


def times(first: Triple, second: Triple) -> Triple:
    """Multiply two strides (D, H, W), for their total."""
    return each_axis(mul, first, second)
