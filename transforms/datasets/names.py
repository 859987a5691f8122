"""What `dataset.json` calls the channels and labels of a dataset, in the Decathlon's way or one of nnU-Net's two."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.grid import GREATEST_LABEL

UNNAMED = ("image",)

SIDES = re.compile(r"(?<![a-z])(left|right)|(?<![a-z])[lr]t?(?![a-z0-9])", re.IGNORECASE)
"""Words that begin with a side, or are its abbreviation; `L1` is a vertebra."""
CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
"""Where a word begins in `kidneyLeft`."""

Regions = dict[str, tuple[int, ...]]
"""Labels that make up each named region."""


def read_channel_names(listing: Path, content: Mapping[str, Any]) -> tuple[str, ...]:
    """The channels' names, in order; one called `image` where nothing says.

    Args:
        listing: path of dataset.json, for the error.
        content: `channel_names` of nnU-Net 2, or else `modality`: {"0": "T1", "1": "T2"}.

    Raises:
        VolumeError: no names of channels 0, 1 and so on.
    """
    key = "channel_names" if "channel_names" in content else "modality"
    named = content.get(key)
    if named is None:
        return UNNAMED
    numbers = [str(index) for index in range(len(named))] if isinstance(named, Mapping) else []
    if not numbers or set(numbers) != set(named) or not all(isinstance(name, str) for name in named.values()):
        raise VolumeError(listing, f"{key}: {named}", 'must name the channels from 0: {"0": "T1", "1": "T2"}')
    return tuple(named[number] for number in numbers)


def read_label_names(listing: Path, content: Mapping[str, Any]) -> tuple[dict[int, str], Regions]:
    """The labels' names without the background, and the regions; empty where nothing says.

    Args:
        listing: path of dataset.json, for the error.
        content: `labels`, the Decathlon's {"0": "background", "1": "liver"} or nnU-Net 2's {"background": 0,
            "liver": 1, "both": [1, 2]}, where a list is a region.

    Raises:
        VolumeError: something else, a label with two names, a label beyond 65535, or nnU-Net's label `ignore`.
    """
    labels = content.get("labels")
    if labels is None:
        return {}, {}
    if not isinstance(labels, Mapping):
        raise VolumeError(listing, f"labels: {labels}", 'must be an object such as {"background": 0, "liver": 1}')
    numbered = all(key.isdecimal() and isinstance(value, str) for key, value in labels.items())
    names: dict[int, str] = {}
    regions: Regions = {}
    for key, value in labels.items():
        name = value if numbered else key
        if isinstance(value, list):
            regions[name] = tuple(_label(listing, name, part, lowest=1) for part in value)
            if not value:
                raise VolumeError(listing, f"labels: {name}: []", "a region must have at least one label")
            continue
        label = _label(listing, name, key if numbered else value)
        if name == "ignore":
            raise VolumeError(listing, f"labels: ignore: {label}", "every voxel must be labelled; none can be left out")
        if label in names:
            raise VolumeError(
                listing, f"labels: {label} is {names[label]!r} and {name!r}", "a label must have one name"
            )
        names[label] = name
    names.pop(0, None)
    return dict(sorted(names.items())), regions


def tells_sides(name: str) -> bool:
    """Whether a label's name tells left from right, such as `kidney_left`, `LeftKidney` or `hippocampus-R`."""
    return SIDES.search(CAMEL.sub(" ", name)) is not None


def _label(listing: Path, name: str, value: object, lowest: int = 0) -> int:
    """A label's number; older files of nnU-Net 2 have it as text."""
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if not isinstance(number, int) or isinstance(number, bool) or not lowest <= number <= GREATEST_LABEL:
        raise VolumeError(listing, f"labels: {name}: {value}", f"must be an integer from {lowest} to {GREATEST_LABEL}")
    return number
