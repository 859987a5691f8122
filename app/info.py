"""`hybridseg info`: what is installed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from hybridseg.bundles import bundle_names, bundle_path

from .command import Command


@dataclass
class Info(Command):
    """List the shipped bundles and the sizes of network, or tell where a bundle is."""

    path: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Print only the folder of this bundle, whose configs/ hold the configurations."""
    json: bool = False
    """Print as JSON."""

    def run(self) -> int:
        """Print it.

        Returns:
            0.

        Raises:
            ValueError: there is no such bundle.
        """
        if self.path is not None:
            folder = str(bundle_path(self.path))
            print(json.dumps({"path": folder}) if self.json else folder)
            return 0
        bundles = [describe_bundle(name) for name in bundle_names()]
        presets = count_parameters()
        if self.json:
            print(json.dumps({"bundles": bundles, "presets": presets}, indent=2, ensure_ascii=False))
            return 0
        from .reports import align

        rows = [["bundle", "version", "weights"], *([b["name"], b["version"], _weights(b)] for b in bundles)]
        for line, task in zip(align(rows), ["task", *(bundle["task"] for bundle in bundles)], strict=True):
            print(f"{line}  {task}")
        print()
        rows = [["network", "parameters"], *([name, f"{count / 1e6:.2f} M"] for name, count in presets.items())]
        print("\n".join(align(rows)))
        return 0


def describe_bundle(name: str) -> dict[str, Any]:
    """Name, version, task and folder of a shipped bundle, and whether its weights are there."""
    folder = bundle_path(name)
    metadata = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
    return {
        "name": name,
        "version": metadata["version"],
        "task": metadata["task"],
        "weights": (folder / "models" / "model.pt").is_file(),
        "path": str(folder),
    }


def count_parameters() -> dict[str, int]:
    """Parameters of each preset, with one input channel and two classes."""
    import torch

    from hybridseg.networks import PRESETS, create_model

    with torch.device("meta"):
        networks = {name: create_model(name, in_channels=1, out_channels=2) for name in PRESETS}
    return {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}


def _weights(bundle: dict[str, Any]) -> str:
    return "yes" if bundle["weights"] else "no"
