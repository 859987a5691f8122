"""The presets, and `create_model`, which makes a network from one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .config import NetworkConfig
from .hybrid_swin_unetr import HybridSwinUNETR

TWO = (2, 2, 2)
PRESETS: Mapping[str, NetworkConfig] = {
    "tiny": NetworkConfig(
        in_channels=1,
        out_channels=2,
        stem_channels=8,
        channels=(16, 48, 96),
        depths=(1, 2, 2),
        strides=(TWO, TWO, TWO),
        mixers=("conv", "conv", {"name": "window", "heads": 6}),
    ),
    "small": NetworkConfig(
        in_channels=1,
        out_channels=2,
        stem_channels=16,
        channels=(32, 96, 192),
        depths=(1, 2, 2),
        strides=(TWO, TWO, TWO),
        mixers=("conv", "conv", {"name": "window", "heads": 6}),
    ),
    "light": NetworkConfig(
        in_channels=1,
        out_channels=2,
        stem_channels=16,
        channels=(32, 64, 128, 192),
        depths=(1, 1, 2, 2),
        strides=(TWO, TWO, TWO, TWO),
        mixers=("conv", "conv", "conv", {"name": "window", "heads": 6}),
    ),
    "base": NetworkConfig(
        in_channels=1,
        out_channels=2,
        stem_channels=16,
        channels=(32, 64, 192, 384),
        depths=(1, 2, 4, 2),
        strides=(TWO, TWO, TWO, TWO),
        mixers=("conv", "conv", {"name": "window", "heads": 6}, {"name": "window", "heads": 12}),
        fusion=("add", "concat", "concat", "concat"),
    ),
}


def create_model(preset: str = "small", *, in_channels: int, out_channels: int, **overrides: Any) -> HybridSwinUNETR:
    """Make a network from a preset.

    Args:
        preset: `tiny` (under 1 M parameters), `small` (about 3 M), `light` (about 5 M, of which few are at high
            resolution, so a step costs less than that of `small`) or `base` (over 10 M).
        in_channels: image channels.
        out_channels: classes including the background, or overlapping regions.
        overrides: fields of `NetworkConfig` to change from the preset, such as `deep_supervision=False`.

    Returns:
        The network, with random weights.

    Raises:
        ValueError: the preset or a field is unknown (the message lists the known ones), or a value breaks its rule.

    Examples:
        >>> from hybridseg.networks import create_model
        >>> create_model("small", in_channels=4, out_channels=3, strides=[(1, 2, 2), 2, 2]).stride
        (4, 8, 8)
    """
    if not isinstance(preset, str) or preset not in PRESETS:
        raise ValueError(f"preset: {preset!r}: must be one of {', '.join(PRESETS)}")
    for name in overrides:
        if name not in NetworkConfig.names():
            raise ValueError(f"{name}: not a field of the network: must be one of {', '.join(NetworkConfig.names())}")
    return HybridSwinUNETR(replace(PRESETS[preset], in_channels=in_channels, out_channels=out_channels, **overrides))
