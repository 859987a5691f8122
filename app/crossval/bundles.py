"""Which bundles a cross-validation can train and compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hybridseg.app.bundling.config import (
    ignore_label,
    inference_config,
    label_parts,
    label_rois,
    read_config,
    series_channels,
)


def check_bundles(roots: Sequence[Path], output: Path) -> None:
    """Check that bundles can be trained and compared, and that the result replaces none of them.

    Args:
        roots: folders of the bundles.
        output: folder of the cross-validation, in which the result gets the name of a bundle.

    Raises:
        ValueError: a bundle cannot be used.
    """
    if len({root.name for root in roots}) < len(roots):
        raise ValueError(f"bundles: {', '.join(root.name for root in roots)}: must have different names")
    for root in roots:
        read_config(root / "configs" / "train.json")
        if "networks" in inference_config(root).get("network_def", {}):
            raise ValueError(f"bundle: {root}: is an ensemble: must be the bundle that its members were trained with")
        if (output / root.name).resolve() == root:
            raise ValueError(f"output: {output}: holds the bundle, which the result would replace")
    first, *others = roots
    for other in others:
        if (label_parts(other), ignore_label(other)) != (label_parts(first), ignore_label(first)):
            raise ValueError(f"bundles: {other.name}: must have the labels of {first.name}, also the ignored one")
        if sources(other) != sources(first):
            raise ValueError(f"bundles: {other.name}: must have the channels and rois of {first.name}")


def sources(root: Path) -> tuple[object, object]:
    """Return from which contours and channels a bundle takes its cases."""
    return label_rois(root, "train.json"), series_channels(root)
