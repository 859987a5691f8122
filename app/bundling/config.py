"""What a bundle tells of itself in its configs, without its network being made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridseg.transforms.regions import Regions


def inference_config(bundle: Path) -> Mapping[str, Any]:
    """The content of a bundle's `inference.json`.

    Raises:
        VolumeError: it cannot be read.
    """
    from hybridseg.transforms.datasets.dataset import read_json

    config: Mapping[str, Any] = read_json(bundle / "configs" / "inference.json")
    return config


def label_parts(bundle: Path) -> tuple[dict[int, str], Regions | None]:
    """The names of a bundle's labels by number, and its regions of labels, if it has some.

    Raises:
        VolumeError: its `inference.json` cannot be read, or does not name its labels.
    """
    config = inference_config(bundle)
    names = config.get("label_names")
    if not isinstance(names, Mapping) or not names:
        from hybridseg.transforms.errors import VolumeError

        raise VolumeError(
            bundle / "configs" / "inference.json", "no label_names", "every label's number needs a name there"
        )
    return {int(label): name for label, name in names.items()}, config.get("regions")


def input_channels(bundle: Path) -> int:
    """Channels of an image that a bundle takes; 1 where its config does not tell."""
    from monai.bundle import ConfigParser

    config = ConfigParser(dict(inference_config(bundle)))
    item = "network_def::in_channels"
    channels = config.get_parsed_content(item) if item in config else 1
    return channels if isinstance(channels, int) else 1


def bundle_version(bundle: Path) -> str | None:
    """The version in a bundle's `metadata.json`; None where there is none."""
    from hybridseg.transforms.datasets.dataset import read_json

    metadata = bundle / "configs" / "metadata.json"
    version = read_json(metadata).get("version") if metadata.is_file() else None
    return None if version is None else str(version)


def shown_window(bundle: Path) -> tuple[float, float] | None:
    """The intensities that a bundle for CT tells apart; None for others, whose images have no unit."""
    window = inference_config(bundle).get("window")
    return (float(window[0]), float(window[1])) if isinstance(window, Sequence) and len(window) == 2 else None
