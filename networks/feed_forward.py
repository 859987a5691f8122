"""The feed-forward branch that follows an attention mixer."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from .layers.convolutions import DepthwiseConv
from .layers.layout import to_map, to_tokens
from .validation import Triple, positive


class LinearFeedForward(nn.Module):
    """The feed-forward branch of a transformer: widen each voxel, narrow it again.

    Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762, equation 2), with layer normalisation before and GELU, as in
    Swin.

    Args:
        channels: channels in and out.
        kernel: of no use here.
        dropout: probability to zero an entry of the result.
        expansion: channels within, as a multiple of `channels`.
    """

    def __init__(self, channels: int, *, kernel: Triple = (3, 3, 3), dropout: float = 0.0, expansion: int = 4) -> None:
        super().__init__()
        hidden = positive(expansion, "expansion") * channels
        self.layers = nn.Sequential(
            nn.LayerNorm(channels),
            nn.Linear(channels, hidden),
            nn.GELU(),
            nn.Linear(hidden, channels),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        return to_map(self.layers(to_tokens(x)))


class DepthwiseFeedForward(nn.Module):
    """The inverted residual feed-forward branch: widen each voxel, look at its neighbours, narrow again.

    CMT (Guo et al. 2022, https://arxiv.org/abs/2107.06263, equation 5). Deviations: layer normalisation before, as in
    Swin, in place of batch normalisation within; the 1x1x1 convolutions are matrix products over the voxels, faster
    at few channels.

    Args:
        channels: channels in and out.
        kernel: voxels of the kernel.
        dropout: probability to zero an entry of the result.
        expansion: channels within, as a multiple of `channels`.
    """

    def __init__(self, channels: int, *, kernel: Triple = (3, 3, 3), dropout: float = 0.0, expansion: int = 4) -> None:
        super().__init__()
        hidden = positive(expansion, "expansion") * channels
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, hidden)
        self.depthwise = DepthwiseConv(hidden, kernel)
        self.activation = nn.GELU()
        self.narrow = nn.Linear(hidden, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.activation(self.widen(self.norm(to_tokens(x))))
        local = to_map(tokens)
        tokens = to_tokens(local + self.depthwise(local))
        return to_map(self.dropout(self.narrow(self.activation(tokens))))


class GatedFeedForward(nn.Module):
    """The feed-forward branch SwiGLU: widen each voxel twice, weigh the one by the other, narrow again.

    Shazeer 2020 (https://arxiv.org/abs/2002.05202, equation 6), with layer normalisation before. Deviation: biases.

    Args:
        channels: channels in and out.
        kernel: of no use here.
        dropout: probability to zero an entry of the result.
        expansion: channels within a branch of the same cost without a gate, as a multiple of `channels`; within this
            one are two thirds of them.
    """

    def __init__(self, channels: int, *, kernel: Triple = (3, 3, 3), dropout: float = 0.0, expansion: int = 4) -> None:
        super().__init__()
        hidden = 2 * positive(expansion, "expansion") * channels // 3
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, 2 * hidden)
        self.narrow = nn.Linear(hidden, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        gate, tokens = self.widen(self.norm(to_tokens(x))).chunk(2, dim=-1)
        return to_map(self.dropout(self.narrow(functional.silu(gate) * tokens)))


FEED_FORWARDS: Mapping[str, type[nn.Module]] = {
    "depthwise": DepthwiseFeedForward,
    "linear": LinearFeedForward,
    "gated": GatedFeedForward,
}
