"""`hybridseg info`: list what is installed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from inspect import getdoc
from typing import Annotated, Any

import tyro

from hybridseg.app.runtime.console import align
from hybridseg.bundles import bundle_names, bundle_path

from .command import Command

WINDOW = 96
"""Voxels along each axis of the window for which multiply-adds are counted."""


@dataclass
class Info(Command):
    """List the shipped bundles; with --networks or --mixers, what networks are made of, and what it costs."""

    examples = ("--networks", "--mixers")

    path: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = None
    """Print only the folder of this bundle."""
    networks: bool = False
    """Also list presets with parameters and multiply-adds, and parts; takes longer, since it builds the networks."""
    mixers: bool = False
    """Also list the mixers, with their source and what a block with each costs in the coarsest stage of small."""

    def run(self) -> int:
        """Print the lists, or the folder.

        Returns:
            0.

        Raises:
            ValueError: there is no such bundle.
        """
        if self.path is not None:
            folder = str(bundle_path(self.path))
            self.show({"path": folder}, folder)
            return 0
        bundles = [describe_bundle(name) for name in bundle_names()]
        networks, parts = (describe_networks(), describe_parts()) if self.networks else ({}, {})
        mixers = describe_mixers() if self.mixers else {}
        record = {"bundles": bundles, **({"networks": networks, "parts": parts} if self.networks else {})}
        record |= {"mixers": mixers} if self.mixers else {}
        text = [bundle_table(bundles)]
        if self.networks:
            text += ["", network_table(networks), part_lists(parts)]
        if self.mixers:
            text += ["", mixer_table(mixers)]
        if not (self.networks or self.mixers):
            text += ["", "hybridseg info --networks lists the presets and parts of networks, --mixers the mixers"]
        self.show(record, "\n".join(text))
        return 0


def bundle_table(bundles: Sequence[Mapping[str, Any]]) -> str:
    """Return name, version, weights and task of bundles as a table."""
    rows = [["bundle", "version", "weights"]]
    rows += [[bundle["name"], bundle["version"], describe_weights(bundle)] for bundle in bundles]
    tasks = ["task", *(bundle["task"] for bundle in bundles)]
    return "\n".join(f"{line}  {task}" for line, task in zip(align(rows), tasks, strict=True))


def network_table(networks: Mapping[str, Mapping[str, int]]) -> str:
    """Return the costs of the presets as a table."""
    rows = [["network", "parameters", f"multiply-adds at {WINDOW}x{WINDOW}x{WINDOW}"]]
    for name, cost in networks.items():
        rows.append([name, f"{cost['parameters'] / 1e6:.2f} M", f"{cost['multiply_adds'] / 1e9:.1f} G"])
    return "\n".join(align(rows))


def part_lists(parts: Mapping[str, Mapping[str, str]]) -> str:
    """Return the choices for each part of a network, with what they are."""
    width = max(len(name) for choices in parts.values() for name in choices)
    lines = []
    for kind, choices in parts.items():
        lines += ["", kind, *(f"  {name:{width}}  {summary}" for name, summary in choices.items())]
    return "\n".join(lines)


def mixer_table(mixers: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the costs of mixers as a table, then what they are, with their sources."""
    rows = [["mixer", "parameters", "multiply-adds", "forward"]]
    for name, found in mixers.items():
        costs = [f"{found['parameters'] / 1e6:.2f} M", f"{found['multiply_adds'] / 1e9:.2f} G"]
        rows.append([name, *costs, f"{found['milliseconds']:.1f} ms"])
    lines = align(rows)
    for name, found in mixers.items():
        sources = [f"    {paper}, {address}" for address, paper in found["sources"].items()]
        lines += ["", name, f"    {found['summary']}", *sources]
    return "\n".join(lines)


def describe_weights(bundle: Mapping[str, Any]) -> str:
    """Return the licence of a bundle's weights, and whether they are for synthetic data; `no` without weights."""
    if not bundle["weights"]:
        return "no"
    return f"{'synthetic, ' if bundle['synthetic'] else ''}{bundle['weights_license'] or 'yes'}"


def describe_bundle(name: str) -> dict[str, Any]:
    """Return what a shipped bundle is, whether it has weights, their licence, and whether it is for synthetic data.

    Returns:
        `name`, `version`, `task`, `synthetic`, `weights`, `weights_license`, and `path`, its folder.
    """
    from hybridseg.app.bundling.training_data import TrainingData
    from hybridseg.transforms.io.json_files import read_json

    folder = bundle_path(name)
    metadata = read_json(folder / "configs" / "metadata.json")
    return {
        "name": name,
        "version": metadata["version"],
        "task": metadata["task"],
        "synthetic": TrainingData.read(folder).synthetic,
        "weights": (folder / "models" / "model.pt").is_file(),
        "weights_license": metadata.get("weights_license"),
        "path": str(folder),
    }


def describe_networks() -> dict[str, dict[str, int]]:
    """Count parameters and multiply-adds for a window of each preset, with one input channel and two classes."""
    from hybridseg.networks import PRESETS, create_model
    from hybridseg.networks.inspection.cost import count_multiply_adds, count_parameters

    described = {}
    for name in PRESETS:
        network = create_model(name, in_channels=1, out_channels=2)
        multiply_adds = count_multiply_adds(network, (1, 1, WINDOW, WINDOW, WINDOW))
        described[name] = {"parameters": count_parameters(network), "multiply_adds": multiply_adds}
    return described


def describe_mixers() -> dict[str, dict[str, Any]]:
    """Describe each mixer, and time a forward pass of a block with it in the coarsest stage of `small`."""
    from hybridseg.networks import MIXERS
    from hybridseg.networks.inspection import describe_mixer, time_mixers

    times = time_mixers()
    return {name: {**asdict(describe_mixer(name)), "milliseconds": times[name]} for name in MIXERS}


def describe_parts() -> dict[str, dict[str, str]]:
    """List the choices for each part of a network, with the first words of their documentation."""
    from hybridseg.networks import DOWNSAMPLINGS, FEED_FORWARDS, FUSIONS, MIXERS, PROJECTIONS, STEMS

    choices = {
        "stem": STEMS,
        "mixers": MIXERS,
        "projection of a mixer": PROJECTIONS,
        "feed_forward": FEED_FORWARDS,
        "downsampling": DOWNSAMPLINGS,
        "fusion": FUSIONS,
    }
    return {
        field: {name: re.split(r"[:.]| \(", getdoc(part) or "")[0].replace("\n", " ") for name, part in parts.items()}
        for field, parts in choices.items()
    }
