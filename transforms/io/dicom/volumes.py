"""Sort the slices of a series into volumes: slices at one place differ in time, echo or diffusion.

Attributes are tried in order. One divides slices if they repeat places and it has no more values than slices are at one
place: an attribute that differs from slice to slice, such as the time of each, tells no volumes apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from .slices import Instance

Part = TypeVar("Part")

STACK = "stack"
"""Name of the attribute that always divides slices: the number of a stack."""

SAME_PLACE_DIGITS = 3

ATTRIBUTES = (
    ("time", "TemporalPositionIdentifier"),
    ("time", "FrameReferenceTime"),
    ("b", "DiffusionBValue"),
    ("echo", "EchoTime"),
    ("trigger", "TriggerTime"),
    ("type", "ImageType"),
    ("acquisition", "AcquisitionNumber"),
)
"""Attributes of files with one slice, in the order tried: name in messages, and keyword."""


def split_files(instances: Sequence[Instance]) -> list[tuple[str, list[Instance]]]:
    """Sort files with one slice each into volumes; see `split_volumes`. Those without a place are one volume."""

    def value(keyword: str) -> Callable[[Instance], str]:
        return lambda instance: instance.header.text.get(keyword, "")

    return split_volumes(instances, place_of, [(name, value(keyword)) for name, keyword in ATTRIBUTES])


def place_of(instance: Instance) -> Hashable:
    """Return the position of a file with one slice; its path if it has none."""
    try:
        position = [float(number) for number in instance.header.text["ImagePositionPatient"].split("\\")]
    except (KeyError, ValueError):
        return instance.path
    return tuple(round(number, SAME_PLACE_DIGITS) for number in position)


def split_volumes(
    parts: Sequence[Part], place: Callable[[Part], Hashable], attributes: Sequence[tuple[str, Callable[[Part], str]]]
) -> list[tuple[str, list[Part]]]:
    """Sort slices into volumes.

    Args:
        parts: the slices of a series.
        place: returns where a slice is.
        attributes: name and value of what may tell volumes apart, in the order tried.

    Returns:
        What tells each volume from the others, such as `b 1000`, and its slices in the order given.
    """
    volumes: list[tuple[list[str], list[Part]]] = [([], list(parts))]
    for name, value_of in attributes:
        divided: list[tuple[list[str], list[Part]]] = []
        for known, members in volumes:
            groups: dict[str, list[Part]] = {}
            for part in members:
                groups.setdefault(value_of(part), []).append(part)
            if len(groups) < 2 or (name != STACK and len(groups) > max(Counter(map(place, members)).values())):
                divided.append((known, members))
                continue
            for value, group in groups.items():
                shown = value.replace("\\", "/").removesuffix(".0")
                divided.append(([*known, f"{name} {shown}" if shown else f"no {name}"], group))
        volumes = divided
    return [(", ".join(known), members) for known, members in volumes]
