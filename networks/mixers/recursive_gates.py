"""Recursive gated convolution: products of features with their neighbourhood, order by order."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from hybridseg.networks.layers.convolutions import DepthwiseConv
from hybridseg.networks.layers.layout import to_map, to_tokens
from hybridseg.networks.validation import divisor, positive

from .base import BlockContext, Mixer


class RecursiveGateMixer(Mixer):
    """Features gated again and again by a depth-wise convolution, with twice the channels each time.

    HorNet's recursive gated convolution (Rao et al. 2022, https://arxiv.org/abs/2207.14284, equations 3.3 to 3.5):

        p_0, q_0, ..., q_(n-1) = in(x)      p_(k+1) = g_k(p_k) * depthwise(q_k)      result = out(p_n)

    where p_k has C / 2^(n-1-k) channels. Deviation: no constant divides the products.

    Args:
        context: channels, dropout, and the kernel: along axes where it has one voxel, so has the depth-wise one.
        order: number of products, n.
        extent: voxels of the depth-wise kernel: one odd integer, or three along (D, H, W).

    Raises:
        ValueError: 2^(order - 1) does not divide the channels, or `extent` is neither one nor three odd integers.
    """

    def __init__(self, context: BlockContext, *, order: int = 3, extent: int | Sequence[int] = 5) -> None:
        super().__init__()
        channels = context.channels
        divisor(2 ** (positive(order, "order") - 1), channels, "2 ** (order - 1)")
        self.widths = [channels // 2 ** (order - 1 - step) for step in range(order)]
        self.norm = nn.LayerNorm(channels)
        self.inwards = nn.Linear(channels, self.widths[0] + sum(self.widths))
        self.depthwise = DepthwiseConv(sum(self.widths), context.wide_kernel(extent))
        self.steps = nn.ModuleList(nn.Linear(width // 2, width) for width in self.widths[1:])
        self.outwards = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(context.dropout)

    def forward(self, x: Tensor) -> Tensor:
        features, gates = self.inwards(self.norm(to_tokens(x))).split([self.widths[0], sum(self.widths)], dim=-1)
        first, *others = to_tokens(self.depthwise(to_map(gates))).split(self.widths, dim=-1)
        features = features * first
        for step, gate in zip(self.steps, others, strict=True):
            features = step(features) * gate
        return to_map(self.dropout(self.outwards(features)))
