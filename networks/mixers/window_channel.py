"""Windowed attention beside channel attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hybridseg.networks.layers.convolutions import DepthwiseConv
from hybridseg.networks.layers.layout import to_map, to_tokens
from hybridseg.networks.validation import not_negative, positive

from .base import BlockContext
from .window import WindowMixer


class WindowChannelMixer(WindowMixer):
    """Windowed attention plus, with a small weight, a convolution whose channels are weighted by their means.

    The hybrid attention block of HAT (Chen et al. 2023, https://arxiv.org/abs/2205.04437, equation 1; channel attention
    after squeeze and excitation, Hu et al. 2018, https://arxiv.org/abs/1709.01507). Deviations: one depth-wise
    convolution instead of two whole ones; the weight is learned. HAT's overlapping windows are left out: shifted
    windows and the position convolution cross the borders already.

    Args:
        context: as for `WindowMixer`, and the kernel of the convolution.
        squeeze: channels divided by those that compute the gate.
        weight: of the convolutional part, at first.
        options: those of `WindowMixer`.

    Raises:
        ValueError: as for `WindowMixer`; `squeeze` is not a positive integer, or `weight` is negative.
    """

    def __init__(self, context: BlockContext, *, squeeze: int = 4, weight: float = 0.01, **options: Any) -> None:
        super().__init__(context, **options)
        channels = context.channels
        hidden = max(1, channels // positive(squeeze, "squeeze"))
        self.depthwise = DepthwiseConv(channels, context.kernel)
        self.gate = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid())
        self.weight = nn.Parameter(torch.tensor(not_negative(weight, "weight")))

    def forward(self, x: Tensor) -> Tensor:
        local = to_tokens(functional.gelu(self.depthwise(to_map(self.norm(to_tokens(x))))))
        gate = self.gate(local.mean(dim=(1, 2, 3), keepdim=True))
        return super().forward(x) + to_map(self.weight.to(local.dtype) * gate * local)
