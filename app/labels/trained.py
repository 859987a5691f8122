"""The labels of a network as the record of its training names them: weights with others are not used or resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybridseg.transforms.errors import VolumeError, warn_of_volume
from hybridseg.transforms.io.json_files import read_json

RUN, LABELS = "run.json", "labels"
NAMES, REGIONS = "label_names", "regions"
"""Keys of configs for the names of labels by their numbers, and for regions of labels."""

Labels = Mapping[str, Any]
"""Of a training: `label_names`, and `regions` if it has any."""


def as_recorded(config: Mapping[str, Any]) -> Labels:
    """Return the labels and regions of a config as a record has them, with numbers of labels as texts."""
    found = {key: config[key] for key in (NAMES, REGIONS) if config.get(key) is not None}
    return json.loads(json.dumps(found, default=str))


def check_labels(path: Path, before: Labels, now: Labels) -> None:
    """Check that labels are those of a training; a label may have got a new name.

    Args:
        path: what was trained, for the message.
        before: labels of the training.
        now: labels to use; see `as_recorded`.

    Raises:
        VolumeError: they have other numbers, or names stand at other numbers.
    """
    names, earlier = part(now, NAMES), part(before, NAMES)
    moved = names != earlier and set(names.values()) == set(earlier.values())
    if names.keys() != earlier.keys() or moved or areas(now) != areas(before):
        rule = "must be used with the labels of its training"
        raise VolumeError(path, f"trained with labels {shown(before)}, not {shown(now)}", rule)


def check_trained_labels(weights: Path, now: Labels) -> None:
    """Check the labels of weights that a training wrote, by the record beside them; warn of other names.

    Args:
        weights: file of the weights; without a record of their labels beside it, they are not checked.
        now: labels to use; see `as_recorded`.

    Raises:
        VolumeError: they were trained with other labels.
    """
    try:
        before = part(read_json(weights.parent / RUN)["runs"][-1], LABELS)
    except (OSError, ValueError, LookupError, TypeError):
        return
    if not before:
        return
    check_labels(weights, before, now)
    if part(before, NAMES) != part(now, NAMES):
        warn_of_volume(weights, f"trained with labels {shown(before)}", f"used as {shown(now)}")


def part(record: Any, name: str) -> Mapping[str, Any]:
    """Return a part of a record; nothing where it has none."""
    found = record.get(name) if isinstance(record, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def areas(labels: Labels) -> list[Any]:
    """Return the labels of each region, in order."""
    return [*part(labels, REGIONS).values()]


def shown(labels: Labels) -> str:
    """Return labels, or regions of labels, in one line."""
    return json.dumps(part(labels, REGIONS) or part(labels, NAMES), ensure_ascii=False)
