"""Mixers, which combine the voxels of a stage: convolutions at high resolution, attention at low resolution."""

from __future__ import annotations

from collections.abc import Mapping

from .base import BlockContext, Mixer
from .conv import ConvMixer
from .global_attention import GatedMixer, GlobalMixer, RelativeMixer
from .projections import PROJECTIONS
from .rotary import RotaryMixer
from .window import WindowMixer
from .window_grid import WindowGrid

MIXERS: Mapping[str, type[Mixer]] = {
    "conv": ConvMixer,
    "window": WindowMixer,
    "relative": RelativeMixer,
    "gated": GatedMixer,
    "rotary": RotaryMixer,
}

__all__ = [
    "MIXERS",
    "PROJECTIONS",
    "BlockContext",
    "ConvMixer",
    "GatedMixer",
    "GlobalMixer",
    "Mixer",
    "RelativeMixer",
    "RotaryMixer",
    "WindowGrid",
    "WindowMixer",
]
