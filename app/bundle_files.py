"""The files of a bundle, written from the settings that differ between bundles.

All bundles are alike but for these settings: what is common stands in the configurations of one shipped bundle, the
pattern, from which every other is made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from hybridseg.bundles import bundle_path
from hybridseg.transforms.datasets import read_json

PATTERN = "hippocampus_mri_segmentation"
WIDTH = 120
NETWORK_KEYS = ("preset", "strides", "kernels", "stem_kernel")
CT_ONLY = {"window": "@window"}
COPIED = ("LICENSE", "configs/logging.conf", "configs/multi_gpu_train.json")

Config = dict[str, Any]


def train_config(settings: Mapping[str, Any]) -> Config:
    """The content of `train.json`.

    Args:
        settings: by key: those of the pattern's first level that shall differ, fields of `NetworkConfig`, `modality`
            (CT or MRI) and, for CT, `window`.
    """
    return configure("train.json", settings)


def inference_config(settings: Mapping[str, Any]) -> Config:
    """The content of `inference.json`, from the same settings."""
    config = configure("inference.json", settings)
    if "label_codes" not in settings:
        config.pop("label_codes", None)
    return config


def evaluate_config(settings: Mapping[str, Any]) -> Config:
    """The content of `evaluate.json`, from the same settings."""
    return configure("evaluate.json", settings)


def configure(file: str, settings: Mapping[str, Any]) -> Config:
    """A configuration of the pattern with other settings."""
    pattern = read_json(bundle_path(PATTERN) / "configs" / file)
    config: Config = {}
    for key, value in pattern.items():
        config[key] = deepcopy(settings.get(key, value))
        if key == "spacing" and "window" in settings:
            config["window"] = list(settings["window"])
        if key == "label_names":
            config[key] = {str(label): name for label, name in config[key].items()}
    if "preprocessing" in config and settings["modality"] == "CT":
        preprocessing = {name: value for name, value in config["preprocessing"].items() if name != "channels"}
        config["preprocessing"] = preprocessing | {"_target_": "hybridseg.transforms.ct_preprocessing"} | CT_ONLY
    if "network_def" in config:
        config["network_def"] |= {name: settings[name] for name in NETWORK_KEYS if name in settings}
    return config


def format_config(value: Any, indent: int = 0) -> str:
    """JSON as a person would write it: four spaces, and what is short and simple on one line.

    Args:
        value: what to write.
        indent: columns before it.
    """
    line = json.dumps(value, ensure_ascii=False)
    items = list(value.values()) if isinstance(value, Mapping) else value
    if not isinstance(value, Mapping | Sequence) or isinstance(value, str) or not value:
        return line
    simple = not any(isinstance(item, Mapping | list | tuple) for item in items)
    flat = simple or all(isinstance(item, list | tuple) and not _nested(item) for item in items)
    if flat and "_target_" not in line and "$" not in line and indent + len(line) <= WIDTH:
        return line
    inner = " " * (indent + 4)
    if isinstance(value, Mapping):
        lines = [f"{inner}{json.dumps(key)}: {format_config(item, indent + 4)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"
    return "[\n" + ",\n".join(inner + format_config(item, indent + 4) for item in value) + "\n" + " " * indent + "]"


def _nested(items: Sequence[Any]) -> bool:
    return any(isinstance(item, Mapping | list | tuple) for item in items)
