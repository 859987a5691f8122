"""Write the bundle of a cross-validation: the networks of all folds as one, with one file of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hybridseg.app.training.run.saving import save_tensors
from hybridseg.networks.ensemble import average_weights, ensemble_weights
from hybridseg.networks.weights import read_weights
from hybridseg.transforms.io.atomic import replacing_folder
from hybridseg.transforms.io.json_files import read_json

from .config import inference_config
from .writer import copy_files, format_config

COPIED = ("LICENSE", "configs", "docs")
OWN = ("network_def", "dataset_dir", "output_dir", "checkpoint")
"""Keys of `inference.json` in which the members of an ensemble may differ."""

Member = tuple[Path, Path]
"""The folder of a bundle, and a file of weights of its network."""


def can_be_joined(bundles: Sequence[Path]) -> bool:
    """Return whether bundles differ in the network only, so that their networks take the same windows."""
    configs = [inference_config(bundle) for bundle in bundles]
    shared = [{key: value for key, value in config.items() if key not in OWN} for config in configs]
    return all(config == shared[0] for config in shared)


def write_ensemble(
    folder: Path,
    members: Sequence[Member],
    *,
    postprocessing: Mapping[str, Any] | None = None,
    split: Mapping[str, Any] | None = None,
    average: bool = False,
    metadata: Mapping[str, Any] | None = None,
    readme: str = "",
) -> None:
    """Write a bundle whose network is an `Ensemble`, complete or not at all; it replaces an earlier one.

    `train.json` stays that of the first member: it trains one network.

    Args:
        folder: folder of the bundle.
        members: what it is made of; configs and documents are those of the first.
        postprocessing: further arguments of its postprocessing; see `hybridseg.transforms.postprocessing`.
        split: content of `configs/split.json`.
        average: average the weights of all members to one network instead.
        metadata: entries to change in `configs/metadata.json`.
        readme: section to add to `docs/README.md`.

    Raises:
        ValueError: weights cannot be read.
        OSError: the bundle cannot be written.
    """
    source = members[0][0]
    with replacing_folder(folder) as temporary:
        for name in COPIED:
            copy_files(source / name, temporary / name)
        config = dict(inference_config(source))
        if not average:
            networks = [inference_config(bundle)["network_def"] for bundle, _ in members]
            config["network_def"] = {"_target_": "hybridseg.networks.Ensemble", "networks": networks}
        config["postprocessing"] = add_postprocessing(config["postprocessing"], postprocessing or {})
        described = {**read_json(source / "configs" / "metadata.json"), **(metadata or {})}
        if "components" in config["postprocessing"]:
            required = described.get("required_packages_version", {})
            described["required_packages_version"] = {**required, "scipy": version("scipy")}
        configs = {"inference.json": config, "metadata.json": described} | ({"split.json": split} if split else {})
        for name, content in configs.items():
            (temporary / "configs" / name).write_text(format_config(content) + "\n", encoding="utf-8")
        if readme:
            with (temporary / "docs" / "README.md").open("a", encoding="utf-8") as page:
                page.write(f"\n{readme}")
        states = [read_weights(weights) for _, weights in members]
        joined = average_weights(states) if average else ensemble_weights(states)
        save_tensors(joined, temporary / "models" / "model.pt")


def add_postprocessing(before: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """Return the postprocessing of a config with further arguments; rules for components follow earlier ones."""
    merged = {**before, **added}
    if components := [*before.get("components", []), *added.get("components", [])]:
        merged["components"] = components
    return merged
