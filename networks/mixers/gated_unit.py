"""A gated linear unit as the whole mixer."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from hybridseg.networks.layers.layout import to_map, to_tokens
from hybridseg.networks.validation import positive

from .base import BlockContext, Mixer


class GatedUnitMixer(Mixer):
    """A gate times features, voxel by voxel, and nothing else.

    Activator (Abdullah and Aydin 2024, https://arxiv.org/abs/2405.15953), which replaces attention and feed-forward
    branch by gated linear units (GELU as in Shazeer 2020, https://arxiv.org/abs/2002.05202, equation 6). The mixer does
    not combine voxels: only the block's position convolution does. With `feed_forward="gated"`
    the whole block is as proposed.

    Args:
        context: channels and dropout.
        expansion: channels of gate and features, as a multiple of the channels in.
    """

    def __init__(self, context: BlockContext, *, expansion: int = 1) -> None:
        super().__init__()
        channels = context.channels
        hidden = positive(expansion, "expansion") * channels
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, 2 * hidden)
        self.narrow = nn.Linear(hidden, channels)
        self.dropout = nn.Dropout(context.dropout)

    def forward(self, x: Tensor) -> Tensor:
        gate, features = self.widen(self.norm(to_tokens(x))).chunk(2, dim=-1)
        return to_map(self.dropout(self.narrow(functional.gelu(gate) * features)))
