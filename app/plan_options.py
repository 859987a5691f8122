"""What the options of `hybridseg plan` that are words mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

UNITS = {"GB": 10**9, "MB": 10**6, "GIB": 2**30, "MIB": 2**20}


def parse_memory(text: str) -> int:
    """The bytes of a size such as 8GB.

    Raises:
        ValueError: it is no size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([GM]i?B)", text.strip(), re.IGNORECASE)
    if match is None or float(match[1]) <= 0:
        raise ValueError(f"memory: {text!r}: must be a size such as 8GB or 500MB")
    return int(float(match[1]) * UNITS[match[2].upper()])


def parse_patient(text: str | None) -> Callable[[str], str]:
    """From a case's name to its patient's: what the regular expression finds in it, or all of it without one.

    The function raises a ValueError for a name in which nothing is found.

    Raises:
        ValueError: it is no regular expression.
    """
    if text is None:
        return str
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ValueError(f"patient: {text!r}: must be a regular expression: {error}") from error

    def patient(case: str) -> str:
        found = pattern.search(case)
        if found is None:
            raise ValueError(f"patient: {text!r}: must be found in every case's name: not in {case!r}")
        return found[0]

    return patient


def parse_regions(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The labels of each region by its name.

    Raises:
        ValueError: one is not NAME=LABELS, or a name is there twice.
    """
    regions: dict[str, tuple[int, ...]] = {}
    for text in texts:
        match = re.fullmatch(r"([^=]+)=(\d+(?:,\d+)*)", text)
        if match is None or not (name := match[1].strip()):
            raise ValueError(f"regions: {text!r}: must be NAME=LABELS, such as 'tumour core=2,3'")
        if name in regions:
            raise ValueError(f"regions: {name!r}: must be named once")
        regions[name] = tuple(map(int, match[2].split(",")))
    return regions
