"""What mixes the voxels of a stage: residual convolutions where resolution is high, windowed attention where it is low.

A mixer is the residual branch of a block: it takes and gives (B, C, D, H, W), normalises its own input, and is added
to it by the block. Its constructor takes the channels, the block's index among those of the stage with this mixer, the
keywords `kernel` (voxels of kernels along (D, H, W)) and `dropout`, and its own options. `mixes_channels` says whether
it does all of a block's work, or leaves the work across channels to a feed-forward branch after it. The first
weights of linear layers and convolutions are the network's to give (`initialise`); a mixer's own parameters stay.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from .conv import ConvMixer
from .global_attention import GatedMixer, RelativeMixer
from .rotary import RotaryMixer
from .window import WindowMixer

MIXERS: Mapping[str, type[nn.Module]] = {
    "conv": ConvMixer,
    "window": WindowMixer,
    "relative": RelativeMixer,
    "gated": GatedMixer,
    "rotary": RotaryMixer,
}
