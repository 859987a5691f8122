"""A convolution as large as the map, with a kernel computed from positions."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.amp.autocast_mode import is_autocast_available

from hybridseg.networks.layers.convolutions import DepthwiseConv
from hybridseg.networks.layers.layout import to_map, to_tokens
from hybridseg.networks.validation import Triple, positive

from .base import BlockContext, Mixer


class HyenaMixer(Mixer):
    """Features gated, convolved over the whole map, and gated again.

        result = first * (kernel convolved with (second * features))

    Hyena of order 2 (Poli et al. 2023, https://arxiv.org/abs/2302.10866, definition 3.1): the kernel is a small network
    of the offset, times a window that falls with the distance at a rate of each channel; the convolution is a product
    of Fourier transforms (in float32), with room for the whole kernel, so nothing wraps around. Deviations: three
    dimensions, offsets to both sides, and a depth-wise convolution of the block's kernel before.

    Args:
        context: channels, kernel and dropout.
        hidden: width of the network that computes the kernel.
    """

    def __init__(self, context: BlockContext, *, hidden: int = 16) -> None:
        super().__init__()
        channels = context.channels
        self.norm = nn.LayerNorm(channels)
        self.inwards = nn.Linear(channels, 3 * channels)
        self.depthwise = DepthwiseConv(3 * channels, context.kernel)
        hidden = positive(hidden, "hidden")
        self.kernel_layers = nn.ModuleList(
            [nn.Linear(3, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, channels)]
        )
        self.decay = nn.Parameter(torch.linspace(-2.0, 2.0, channels))
        self.outwards = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(context.dropout)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.depthwise(to_map(self.inwards(self.norm(to_tokens(x)))))
        first, second, features = tokens.chunk(3, dim=1)
        mixed = self.convolve((second * features).float()).to(first.dtype)
        return to_map(self.dropout(self.outwards(to_tokens(first * mixed))))

    def convolve(self, x: Tensor) -> Tensor:
        """Convolve a map (B, C, D, H, W) with the kernel of its channels."""
        depth, height, width = x.shape[2:]
        size, axes = (2 * depth - 1, 2 * height - 1, 2 * width - 1), (2, 3, 4)
        kernel = self.kernel((depth, height, width), x.device)
        product = torch.fft.rfftn(x, size, axes) * torch.fft.rfftn(kernel[None], size, axes)
        return torch.fft.irfftn(product, size, axes)[:, :, :depth, :height, :width]

    def kernel(self, size: Triple, device: torch.device) -> Tensor:
        """Return the kernel (C, 2 D - 1, 2 H - 1, 2 W - 1) of offsets 0, 1, ..., then -(size - 1), ..., -1 voxels."""
        offsets = [torch.cat([torch.arange(n), torch.arange(1 - n, 0)]).to(device).float() for n in size]
        grid = torch.stack(torch.meshgrid(*offsets, indexing="ij"), dim=-1)  # (2 D - 1, 2 H - 1, 2 W - 1, 3)
        first, second, third = self.kernel_layers
        with without_autocast(device):
            values = third(torch.sin(second(torch.sin(first(grid)))))
            distance = grid.square().sum(-1, keepdim=True).add(1e-6).sqrt()
            return (values * torch.exp(-self.decay.exp() * distance)).movedim(-1, 0)


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Keep operations on a device in the type of their inputs; the device may be `meta`, which has no autocast."""
    return torch.autocast(device.type, enabled=False) if is_autocast_available(device.type) else nullcontext()
