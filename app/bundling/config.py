"""Read what a bundle's configs say, without building its network."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridseg.app.runtime.config_values import broken_rule

if TYPE_CHECKING:
    from hybridseg.transforms.regions import Regions
    from hybridseg.transforms.structures import Structure

HYBRIDSEG_NAME = re.compile(r"\bhybridseg(?:\.\w+)+")
"""A dotted name of HybridSeg in a config."""
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
MOVED: Mapping[str, str] = {
    "hybridseg.app.handlers.ScoreCases": "hybridseg.app.evaluation.ScoreCases",
    "hybridseg.app.handlers": "hybridseg.app.training",
    "hybridseg.app.early_stop": "hybridseg.app.training",
    "hybridseg.app.weights": "hybridseg.app.training",
}
"""Names in the configs of bundles that earlier versions wrote, and their names now."""
NEEDED = ("label_names", "preprocessing", "network", "checkpoint", "inferer", "postprocessing")
"""Keys without which an `inference.json` cannot segment."""


def read_config(path: Path) -> dict[str, Any]:
    """Read a config of a bundle.

    Raises:
        VolumeError: it cannot be read, a key has an invalid value, or it names modules that have moved.
    """
    from hybridseg.transforms.errors import VolumeError
    from hybridseg.transforms.io.json_files import read_json

    config = read_json(path)
    if not isinstance(config, dict):
        raise VolumeError(path, f"a {type(config).__name__}", "must be an object with the keys of a config")
    if broken := broken_rule(config):
        key, value, rule = broken
        raise VolumeError(path, f"{key}: {value}", rule)
    names = {name for text in strings(config) for name in HYBRIDSEG_NAME.findall(text)}
    moved = {next((old for old in MOVED if f"{name}.".startswith(f"{old}.")), None) for name in names}
    if replacements := [f"{old} by {new}" for old, new in MOVED.items() if old in moved]:
        rule = f"replace {', '.join(replacements)}, or plan the bundle again"
        raise VolumeError(path, "names modules of an earlier HybridSeg", rule)
    return config


def literal(path: str | Path) -> str:
    """Return the text that stands for a path in a MONAI config, also if the path has characters with a meaning there.

    MONAI replaces `#` in any text, and takes text that begins with `@`, `%` or `$` for a reference or an expression.

    Examples:
        >>> literal(Path("scans/liver")), literal(Path("scans#1"))
        ('scans/liver', "$'scans\\\\x231'")
    """
    text = str(path)
    if "#" not in text and not text.startswith(("@", "%", "$")):
        return text
    return "$" + re.sub("[#@%]", lambda match: rf"\x{ord(match[0]):x}", repr(text))


def strings(config: Any) -> Iterator[str]:
    """Yield every string among the values of a config."""
    if isinstance(config, str):
        yield config
    elif isinstance(config, dict | list):
        for value in config.values() if isinstance(config, dict) else config:
            yield from strings(value)


def inference_config(bundle: Path) -> Mapping[str, Any]:
    """Read the `inference.json` of a bundle.

    Raises:
        VolumeError: it cannot be read, lacks a key, or a key has an invalid value.
    """
    from hybridseg.transforms.errors import VolumeError

    path = bundle / "configs" / "inference.json"
    config = read_config(path)
    if missing := [key for key in NEEDED if key not in config]:
        raise VolumeError(path, f"no {missing[0]}", f"must have {', '.join(NEEDED)}")
    return config


def optional_config(bundle: Path, name: str) -> Mapping[str, Any]:
    """Read another config of a bundle, such as its `evaluate.json`; empty if it has none.

    Raises:
        VolumeError: it cannot be read, or a key has an invalid value.
    """
    path = bundle / "configs" / name
    return read_config(path) if path.is_file() else {}


def label_parts(bundle: Path) -> tuple[dict[int, str], Regions | None]:
    """Return the names of a bundle's labels by number, and its regions of labels, if it has any.

    Raises:
        VolumeError: its `inference.json` cannot be used.
    """
    config = inference_config(bundle)
    return {int(label): name for label, name in config["label_names"].items()}, config.get("regions")


def label_rois(bundle: Path, file: str = "evaluate.json") -> dict[str, int]:
    """Return the labels by pattern of ROI names that a config of a bundle has; empty without any.

    Raises:
        VolumeError: the config cannot be used.
    """
    return dict(optional_config(bundle, file).get("rois", {}))


def ignore_label(bundle: Path) -> int | None:
    """Return the label of voxels without annotation in the references of a bundle; None if it names none.

    Raises:
        VolumeError: its `evaluate.json` cannot be used.
    """
    found: int | None = optional_config(bundle, "evaluate.json").get("ignore_label")
    return found


def input_channels(bundle: Path) -> int:
    """Return the number of image channels that a bundle's network takes; 1 if its config does not say."""
    config = dict(inference_config(bundle))
    network = config.get("network_def")
    named = network.get("in_channels") if isinstance(network, Mapping) else None
    value = config.get(named[1:]) if isinstance(named, str) and named.startswith("@") else named
    if isinstance(value, int):
        return value  # without MONAI, whose import takes seconds
    from monai.bundle import ConfigParser

    parser = ConfigParser(config)
    items = ("network_def::in_channels", "network_def::networks::0::in_channels")
    found = next((parser.get_parsed_content(item) for item in items if item in parser), 1)
    return found if isinstance(found, int) else 1


def input_modalities(bundle: Path) -> tuple[str | None, ...]:
    """Return the DICOM modality of each image channel of a bundle, such as CT or PT; None if its configs do not say."""
    from hybridseg.transforms.datasets.names import DICOM_CODES

    channels = input_channels(bundle)
    named = inference_config(bundle).get("modalities")
    if isinstance(named, Mapping) and len(named) == channels:
        return tuple(DICOM_CODES.get(modality, modality) for modality in named.values())
    try:
        modality = optional_config(bundle, "metadata.json")["network_data_format"]["inputs"]["image"]["modality"]
    except (KeyError, TypeError, ValueError):  # no file, or another format
        modality = None
    return (modality if modality in ("CT", "MR", "PT") else None,) * channels


def series_channels(bundle: Path) -> tuple[str, ...]:
    """Return the channels by which a bundle finds its cases in a DICOM tree, for `read_dataset`.

    Returns:
        The names of its `modalities`, or the DICOM modality of its only channel; empty if its configs do not say.
    """
    named = inference_config(bundle).get("modalities")
    if isinstance(named, Mapping):
        return tuple(named)
    first, *others = input_modalities(bundle)
    return () if first is None or others else (first,)


def shown_window(bundle: Path) -> tuple[float, float] | None:
    """Return the intensity window (HU) of a bundle whose first channel is CT; None for others, such as MRI."""
    config = inference_config(bundle)
    first = next(iter(config.get("modalities") or ()), None)
    window = config.get("window") or (config.get("windows") or {}).get(first)
    return (float(window[0]), float(window[1])) if isinstance(window, list) else None


def bundle_version(bundle: Path) -> str | None:
    """Return the version in a bundle's `metadata.json`, or None if there is none."""
    version = optional_config(bundle, "metadata.json").get("version")
    return None if version is None else str(version)


def label_structures(bundle: Path) -> list[Structure]:
    """Return what the labels of a bundle stand for: their names, codes and colours.

    Codes are those of `label_codes` in its `inference.json`, colours those of `label_colours` in its `metadata.json`;
    others follow from the names.

    Raises:
        VolumeError: a file cannot be read, or does not name its labels, or a code or colour is invalid.
    """
    from hybridseg.transforms.errors import VolumeError
    from hybridseg.transforms.structures import describe_structures

    names, _ = label_parts(bundle)
    path = bundle / "configs" / "metadata.json"
    colours = optional_config(bundle, path.name).get("label_colours", {})
    for name, colour in colours.items():
        if not isinstance(colour, str) or not COLOUR.fullmatch(colour):
            raise VolumeError(path, f"label_colours: {name}: {colour!r}", "must be a colour such as #ff9f43")
    codes = inference_config(bundle).get("label_codes") or {}
    try:
        return describe_structures(names, {int(label): code for label, code in codes.items()}, colours)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        rule = "each label needs a type, and may have a modifier and a category, of value, scheme and meaning"
        raise VolumeError(bundle / "configs" / "inference.json", "invalid label_codes", rule) from error
