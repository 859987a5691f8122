"""Read the names of channels and labels from `dataset.json`, in the formats of the Decathlon and of nnU-Net 1 and 2."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.grid import GREATEST_LABEL

UNNAMED = ("image",)
IGNORE = "ignore"
"""Name of the label of voxels without annotation, in nnU-Net's dataset.json."""

CT_WORDS = frozenset({"ct", "cect", "ncct", "cta", "ldct", "hu", "ctres"})
PET_WORDS = frozenset({"pet", "pt", "suv", "suvbw", "fdg", "psma"})
"""Words in the name of a channel that say what it is; `ctres` is autoPET's CT, resampled to the PET."""

DICOM_CODES = {"CT": "CT", "PET": "PT", "MRI": "MR"}
"""Modalities and their codes in DICOM."""

SIDES = {"l": "left", "lt": "left", "r": "right", "rt": "right"}
"""Abbreviated sides."""
OPPOSITE = {"left": "right", "right": "left"}

CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
"""Matches where a word begins in `kidneyLeft`."""


class LabelNames(NamedTuple):
    """What `dataset.json` says of labels.

    Args:
        names: of the labels without the background.
        regions: labels of each region.
        ignore: label of voxels without annotation; None if there is none.
    """

    names: dict[int, str]
    regions: dict[str, Sequence[int]]
    ignore: int | None = None


def read_channel_names(listing: Path, content: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the channels in order, or one channel called `image` if none are given.

    Args:
        listing: path of dataset.json, for the error.
        content: its content: `channel_names` of nnU-Net 2, or else `modality`: {"0": "T1", "1": "T2"}, or with the
            numbers of nnU-Net's files: {"0000": "T1", "0001": "T2"}.

    Raises:
        VolumeError: the names are not those of channels 0, 1 and so on.
    """
    key = "channel_names" if "channel_names" in content else "modality"
    named = content.get(key)
    if named is None:
        return UNNAMED
    by_number: dict[int, str] = {}
    if isinstance(named, Mapping) and all(isinstance(name, str) for name in named.values()):
        by_number = {int(number): name for number, name in named.items() if number.isdecimal()}
    if not by_number or sorted(by_number) != list(range(len(named))):
        raise VolumeError(listing, f"{key}: {named}", 'must name the channels from 0: {"0": "T1", "1": "T2"}')
    return tuple(name for _, name in sorted(by_number.items()))


def read_label_names(listing: Path, content: Mapping[str, Any]) -> LabelNames:
    """Return the names of the labels, the regions and the ignore label; empty if not given.

    Args:
        listing: path of dataset.json, for the error.
        content: its content: `labels` is the Decathlon's {"0": "background", "1": "liver"} or nnU-Net 2's
            {"background": 0, "liver": 1, "both": [1, 2], "ignore": 3}. A list is a region; beside regions, a bare
            number is a region of one label. Regions may be listed in any order, except where `regions_class_order`
            names the label that each of them writes.

    Raises:
        VolumeError: the format is another, a label has two names or is above 65535, `ignore` is not the highest label,
            or `regions_class_order` does not suit the regions.
    """
    labels = content.get("labels")
    if labels is None:
        return LabelNames({}, {})
    if not isinstance(labels, Mapping):
        raise VolumeError(listing, f"labels: {labels}", 'must be an object such as {"background": 0, "liver": 1}')
    numbered = all(key.isdecimal() and isinstance(value, str) for key, value in labels.items())
    named = [(value, key) if numbered else (key, value) for key, value in labels.items()]
    names: dict[int, str] = {}
    parts: dict[str, Sequence[int]] = {}
    ignore: int | None = None
    for name, value in named:
        if isinstance(value, list) and name != IGNORE:
            parts[name] = tuple(_label(listing, name, part, lowest=1) for part in value)
            if not value:
                raise VolumeError(listing, f"labels: {name}: []", "a region must have at least one label")
            continue
        label = _label(listing, name, value, lowest=int(name == IGNORE))
        if name == IGNORE:
            ignore = label
        elif label in names:
            raise VolumeError(
                listing, f"labels: {label} is {names[label]!r} and {name!r}", "a label must have one name"
            )
        elif label:
            parts[name], names[label] = (label,), name
        else:
            names[0] = name
    names.pop(0, None)
    regions = _regions(listing, content, parts) if any(isinstance(value, list) for _, value in named) else {}
    if ignore is not None and ignore <= (highest := max((0, *names, *(max(part) for part in regions.values())))):
        raise VolumeError(listing, f"labels: ignore: {ignore}", f"must be the highest label, above {highest}")
    return LabelNames(dict(sorted(names.items())), regions, ignore)


def _regions(listing: Path, content: Mapping[str, Any], parts: Mapping[str, Sequence[int]]) -> dict[str, Sequence[int]]:
    """Return regions in the order in which they are written, each with the label that it writes before its others.

    Raises:
        VolumeError: `regions_class_order` does not have a label of its own for each region.
    """
    from hybridseg.transforms.regions import order_regions, own_labels, region_labels  # late: imports torch

    written = content.get("regions_class_order")
    if written is None:
        with suppress(ValueError):
            region_labels(parts)
            return dict(parts)
        return order_regions(parts)
    if not isinstance(written, list) or len(written) != len(parts):
        rule = f"must have a label for each region: {', '.join(parts)}"
        raise VolumeError(listing, f"regions_class_order: {written}", rule)
    regions: dict[str, Sequence[int]] = {}
    for label, (name, own) in zip(written, own_labels(parts).items(), strict=True):
        if label not in own:
            rule = f"must be a label of the region that no later region has: {', '.join(map(str, own)) or 'none'}"
            raise VolumeError(listing, f"regions_class_order: {label} for {name!r}", rule)
        regions[name] = (label, *(member for member in parts[name] if member != label))
    return regions


def modality_of(channel: str) -> str:
    """Return what a channel is by its name: `CT`, `PET`, or else `MRI`, whose intensities have no unit.

    Raises:
        ValueError: the name says both CT and PET.

    Examples:
        >>> [modality_of(name) for name in ("CT", "FDG-PET", "SUV", "T1")]
        ['CT', 'PET', 'PET', 'MRI']
    """
    words = {word.rstrip("0123456789") for word in re.findall(r"[a-z0-9]+", channel.lower())}
    is_ct, is_pet = bool(words & CT_WORDS), bool(words & PET_WORDS)
    if is_ct and is_pet:
        raise ValueError(f"channels: {channel!r}: must be the name of one, CT or PET")
    return "CT" if is_ct else "PET" if is_pet else "MRI"


def mirror_pairs(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pairs of names that differ only in their side: in a mirrored volume, each is the other's label.

    Args:
        names: of labels, such as `kidney_left`, `RightKidney` or `hippocampus-R`.

    Examples:
        >>> mirror_pairs(["left atrium", "kidney_left", "kidney_right"])
        [('kidney_left', 'kidney_right')]
    """
    by_words = {_words(name): name for name in names}
    mirrored = {words: tuple(OPPOSITE.get(word, word) for word in words) for words in by_words}
    return [(by_words[left], by_words[right]) for left, right in mirrored.items() if left < right and right in by_words]


def _words(name: str) -> tuple[str, ...]:
    """Split a name into words in lower case, with its sides written out."""
    words = re.split(r"(left|right)|[^a-z0-9]+", CAMEL.sub(" ", name).lower())
    return tuple(SIDES.get(word, word) for word in words if word)


def _label(listing: Path, name: str, value: object, lowest: int = 0) -> int:
    """Return a label's number, which older files of nnU-Net 2 store as text."""
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if not isinstance(number, int) or isinstance(number, bool) or not lowest <= number <= GREATEST_LABEL:
        raise VolumeError(listing, f"labels: {name}: {value}", f"must be an integer from {lowest} to {GREATEST_LABEL}")
    return number
