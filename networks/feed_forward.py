"""The feed-forward branch that follows a mixer which does not mix channels.

Maps (B, C, D, H, W) to the same shape. The constructor takes the `BlockContext` and, by keyword, the branch's own
options.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from .layers.convolutions import DepthwiseConv
from .layers.layout import to_map, to_tokens
from .mixers.base import BlockContext
from .validation import positive


class LinearFeedForward(nn.Module):
    """The feed-forward branch of a transformer: expand each voxel's channels and reduce them again.

    Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762, equation 2), with layer normalisation before and GELU, as in
    Swin.

    Args:
        context: channels and dropout.
        expansion: hidden channels, as a multiple of the channels in.
    """

    def __init__(self, context: BlockContext, *, expansion: int = 4) -> None:
        super().__init__()
        channels = context.channels
        hidden = positive(expansion, "expansion") * channels
        self.layers = nn.Sequential(
            nn.LayerNorm(channels),
            nn.Linear(channels, hidden),
            nn.GELU(),
            nn.Linear(hidden, channels),
            nn.Dropout(context.dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        return to_map(self.layers(to_tokens(x)))


class DepthwiseFeedForward(nn.Module):
    """The inverted residual feed-forward branch: expand, add a depth-wise convolution, reduce.

    CMT (Guo et al. 2022, https://arxiv.org/abs/2107.06263, equation 5). Deviations: layer normalisation before, as in
    Swin, instead of batch normalisation inside; the 1x1x1 convolutions are matrix products over the voxels, which are
    faster with few channels.

    Args:
        context: channels, kernel and dropout.
        expansion: hidden channels, as a multiple of the channels in.
    """

    def __init__(self, context: BlockContext, *, expansion: int = 4) -> None:
        super().__init__()
        channels = context.channels
        hidden = positive(expansion, "expansion") * channels
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, hidden)
        self.depthwise = DepthwiseConv(hidden, context.kernel)
        self.activation = nn.GELU()
        self.narrow = nn.Linear(hidden, channels)
        self.dropout = nn.Dropout(context.dropout)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.activation(self.widen(self.norm(to_tokens(x))))
        local = to_map(tokens)
        tokens = to_tokens(local + self.depthwise(local))
        return to_map(self.dropout(self.narrow(self.activation(tokens))))


class GatedFeedForward(nn.Module):
    """The gated feed-forward branch SwiGLU: expand to a gate and features, multiply both, reduce.

    Shazeer 2020 (https://arxiv.org/abs/2002.05202, equation 6), with layer normalisation before. Deviation: biases.

    Args:
        context: channels and dropout.
        expansion: hidden channels of an ungated branch of the same cost, as a multiple of the channels in; this branch
            has two thirds of them.
    """

    def __init__(self, context: BlockContext, *, expansion: int = 4) -> None:
        super().__init__()
        channels = context.channels
        hidden = 2 * positive(expansion, "expansion") * channels // 3
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, 2 * hidden)
        self.narrow = nn.Linear(hidden, channels)
        self.dropout = nn.Dropout(context.dropout)

    def forward(self, x: Tensor) -> Tensor:
        gate, tokens = self.widen(self.norm(to_tokens(x))).chunk(2, dim=-1)
        return to_map(self.dropout(self.narrow(functional.silu(gate) * tokens)))


FEED_FORWARDS: Mapping[str, type[nn.Module]] = {
    "depthwise": DepthwiseFeedForward,
    "linear": LinearFeedForward,
    "gated": GatedFeedForward,
}
