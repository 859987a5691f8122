"""Local convolution with compact channel attention."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from hybridseg.networks.layers.convolutions import DepthwiseConv
from hybridseg.networks.layers.layout import to_map, to_tokens

from .base import BlockContext, Mixer


class ChannelGateMixer(Mixer):
    """A depth-wise convolution between two linear layers, whose channels are weighted by their means over the map.

    The convolutional module of DiCo with compact channel attention (Ai et al. 2025, https://arxiv.org/abs/2505.11196,
    section 3): one linear layer from the means of all channels to a gate for each. Deviations: layer normalisation
    before, biases.

    Args:
        context: channels, kernel and dropout.
    """

    def __init__(self, context: BlockContext) -> None:
        super().__init__()
        channels = context.channels
        self.norm = nn.LayerNorm(channels)
        self.before = nn.Linear(channels, channels)
        self.depthwise = DepthwiseConv(channels, context.kernel)
        self.gate = nn.Linear(channels, channels)
        self.after = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(context.dropout)

    def forward(self, x: Tensor) -> Tensor:
        local = self.depthwise(to_map(self.before(self.norm(to_tokens(x)))))
        tokens = functional.gelu(to_tokens(local))  # (B, D, H, W, C)
        gate = self.gate(tokens.mean(dim=(1, 2, 3), keepdim=True)).sigmoid()
        return to_map(self.dropout(self.after(gate * tokens)))
