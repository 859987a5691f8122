"""Mixers, which combine the voxels of a stage: convolutions at high resolution, attention at low resolution."""

from __future__ import annotations

from collections.abc import Mapping

from .axial import AxialMixer
from .base import BlockContext, Mixer
from .channel_gate import ChannelGateMixer
from .conv import ConvMixer
from .gated_unit import GatedUnitMixer
from .global_attention import GatedMixer, GlobalMixer, RelativeMixer
from .hyena import HyenaMixer
from .large_kernel import LargeKernelMixer
from .linear_attention import LinearMixer
from .neighbourhood import NeighbourhoodMixer
from .pooling import PoolingMixer
from .projections import PROJECTIONS
from .recursive_gates import RecursiveGateMixer
from .reduced_attention import ReducedMixer
from .rotary import RotaryMixer
from .scan import ScanMixer
from .window import WindowMixer
from .window_channel import WindowChannelMixer
from .window_grid import WindowGrid

MIXERS: Mapping[str, type[Mixer]] = {
    "conv": ConvMixer,
    "window": WindowMixer,
    "relative": RelativeMixer,
    "gated": GatedMixer,
    "rotary": RotaryMixer,
    "pooling": PoolingMixer,
    "large_kernel": LargeKernelMixer,
    "recursive_gates": RecursiveGateMixer,
    "gated_unit": GatedUnitMixer,
    "channel_gate": ChannelGateMixer,
    "window_channel": WindowChannelMixer,
    "axial": AxialMixer,
    "neighbourhood": NeighbourhoodMixer,
    "reduced": ReducedMixer,
    "linear": LinearMixer,
    "scan": ScanMixer,
    "hyena": HyenaMixer,
}

__all__ = [
    "MIXERS",
    "PROJECTIONS",
    "AxialMixer",
    "BlockContext",
    "ChannelGateMixer",
    "ConvMixer",
    "GatedMixer",
    "GatedUnitMixer",
    "GlobalMixer",
    "HyenaMixer",
    "LargeKernelMixer",
    "LinearMixer",
    "Mixer",
    "NeighbourhoodMixer",
    "PoolingMixer",
    "RecursiveGateMixer",
    "ReducedMixer",
    "RelativeMixer",
    "RotaryMixer",
    "ScanMixer",
    "WindowChannelMixer",
    "WindowGrid",
    "WindowMixer",
]
