"""Check what a bundle's configs say for the keys that HybridSeg knows, before anything is loaded or computed.

A value that MONAI computes, an expression or a reference, is not checked here but by what uses it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from math import inf
from os import PathLike
from typing import Any, NamedTuple, TypeGuard

LARGEST_PATCH = 1024
"""Most voxels of a patch along an axis: the features of a larger one need more memory than any GPU has."""
GREATEST_LABEL = 65535
"""The largest that label maps hold; as in `transforms.io.masks`, which takes long to import."""
LARGEST_SEED = 2**32 - 1
"""NumPy takes no larger one."""
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
"""As `transforms.precision.PrecisionName`; a copy, since that module imports torch."""
LONGEST = 80
"""Characters of a value in a message."""
NETWORK = ("network::", "network_def::")
"""How the keys of the options of a network begin."""
NONE = "$None"
"""How MONAI's command line is given None: it ignores a plain one."""


class Rule(NamedTuple):
    """What a value must be.

    Args:
        holds: whether a value is that.
        words: the same in words.
    """

    holds: Callable[[Any], bool]
    words: str

    def or_null(self) -> Rule:
        """Return the same rule for a value that may also be null."""
        return Rule(lambda value: value is None or self.holds(value), f"{self.words}, or null")


def is_number(value: object) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -inf < value < inf


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether a value is a list of JSON, or a tuple that a config computes."""
    return isinstance(value, list | tuple)


def is_window(value: object) -> bool:
    """Whether a value is an intensity window: two numbers, the lower one first."""
    return is_list(value) and len(value) == 2 and all(map(is_number, value)) and value[0] < value[1]


def is_text(value: object) -> bool:
    """Whether a value is text that is not empty, or a path that a config computes."""
    return isinstance(value, str | PathLike) and str(value) != ""


def whole(least: int, most: float = inf) -> Rule:
    """Return the rule of a whole number in a range."""
    words = f"must be a whole number from {least}" + ("" if most == inf else f" to {most}")
    return Rule(lambda value: type(value) is int and least <= value <= most, words)


def three(each: Callable[[Any], bool], words: str) -> Rule:
    """Return the rule of a list with a value for each axis."""
    return Rule(lambda value: is_list(value) and len(value) == 3 and all(map(each, value)), words)


def mapping(key: Callable[[Any], bool], value: Callable[[Any], bool], words: str) -> Rule:
    """Return the rule of an object of JSON that is not empty."""

    def holds(found: object) -> bool:
        return isinstance(found, Mapping) and bool(found) and all(key(k) and value(v) for k, v in found.items())

    return Rule(holds, words)


TEXT = Rule(is_text, "must be text")
YES_OR_NO = Rule(lambda value: type(value) is bool, "must be true or false")
PART = Rule(lambda value: isinstance(value, Mapping) and is_text(value.get("_target_")), "must have a _target_")
AXES = Rule(
    lambda value: is_list(value) and all(type(axis) is int and 0 <= axis <= 2 for axis in value),
    "must be a list of 0, 1 and 2",
)

LABEL = whole(1, GREATEST_LABEL)

RULES: Mapping[str, Rule] = {
    "batch_size": whole(1),
    "channels": whole(1),
    "checkpoint": TEXT,
    "crop_margin": whole(0).or_null(),
    "curves": YES_OR_NO,
    "dataset_dir": TEXT,
    "flip_axes": AXES,
    "fold": whole(0),
    "ignore_label": LABEL,
    "inferer": PART,
    "label_names": mapping(
        lambda label: str(label).isdecimal(), is_text, "must have the name of each label by its number"
    ),
    "learning_rate": Rule(lambda value: is_number(value) and value > 0, "must be a positive, finite number"),
    "max_epochs": whole(1),
    "mirror_axes": AXES,
    "modalities": mapping(is_text, is_text, "must have the modality of each channel by its name"),
    "network": PART,
    "network_def": PART,
    "num_workers": whole(0),
    "padding": Rule(
        lambda value: is_number(value) or (is_list(value) and bool(value) and all(map(is_number, value))),
        "must be a finite number, or one for each channel",
    ),
    "patch_size": three(
        whole(1, LARGEST_PATCH).holds, f"must be three whole numbers of voxels from 1 to {LARGEST_PATCH}"
    ),
    "patches": whole(1),
    "patience": whole(1),
    "postprocessing": PART,
    "precision": Rule(lambda value: value in PRECISIONS, f"must be one of {', '.join(PRECISIONS)}"),
    "preprocessing": PART,
    "pretrained": TEXT.or_null(),
    "regions": mapping(
        is_text,
        lambda labels: is_list(labels) and bool(labels) and all(map(LABEL.holds, labels)),
        "must have the labels of each region by its name",
    ),
    "rois": Rule(
        lambda rois: isinstance(rois, Mapping) and all(map(is_text, rois)) and all(map(LABEL.holds, rois.values())),
        f"must have a label from 1 to {GREATEST_LABEL} by the pattern of names of ROIs",
    ),
    "resume": Rule(lambda value: value == "auto" or type(value) is bool, "must be true, false or auto"),
    "rotation": three(is_number, "must be three finite numbers of degrees"),
    "run_dir": TEXT,
    "samples_per_epoch": whole(1).or_null(),
    "seed": whole(0, LARGEST_SEED),
    "spacing": three(lambda value: is_number(value) and value > 0, "must be three positive, finite lengths in mm"),
    "split_file": TEXT.or_null(),
    "store": TEXT.or_null(),
    "store_quota": Rule(
        lambda value: is_number(value) and value > 0, "must be a positive, finite number of GB"
    ).or_null(),
    "tolerance": Rule(lambda value: is_number(value) and value > 0, "must be a positive, finite length in mm"),
    "label_colours": Rule(lambda value: isinstance(value, Mapping), "must have the colour of each label by its name"),
    "val_interval": whole(1),
    "window": Rule(is_window, "must be the lowest and the highest HU"),
    "windows": mapping(is_text, is_window, "must have the lowest and the highest intensity by the name of a channel"),
}
"""The rule of each key, whichever config has it."""


def rule_of(key: str) -> Rule | None:
    """Return the rule of a key of a config, or None if there is none.

    A key may be nested, such as `train::trainer::max_epochs`: the rule is that of the last part. The options of a
    network have no rule: `network_def::channels` may be a list, and `window` may be a number of voxels.
    """
    return None if key.startswith(NETWORK) else RULES.get(key.rpartition("::")[2])


def broken_rule(config: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Return the first key of a config whose value breaks its rule, with the value and the rule in words; else None."""
    for key, value in config.items():
        value = None if value == NONE else value
        rule = rule_of(key)
        if rule is not None and not is_computed(value) and not rule.holds(value):
            text = json.dumps(value, ensure_ascii=False, default=str)
            return key, text if len(text) <= LONGEST else f"{text[:LONGEST]} …", rule.words
    return None


def is_computed(value: object) -> bool:
    """Whether MONAI computes a value: an expression or a reference to another key."""
    return isinstance(value, str) and value.startswith(("$", "@", "%"))
