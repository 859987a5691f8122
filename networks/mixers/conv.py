"""The convolutional mixer: a residual branch of two convolutions."""

from __future__ import annotations

from torch import Tensor, nn

from hybridseg.networks.layers.convolutions import conv
from hybridseg.networks.layers.norms import InstanceNorm

from .base import BlockContext, Mixer


class ConvMixer(Mixer):
    """Two convolutions, each after normalisation and activation.

    The pre-activation residual branch of He et al. 2016 (https://arxiv.org/abs/1603.05027, figure 1b), in three
    dimensions and with instance normalisation.

    Args:
        context: channels and kernel.
    """

    mixes_channels = True

    def __init__(self, context: BlockContext) -> None:
        super().__init__()
        channels, kernel = context.channels, context.kernel
        self.layers = nn.Sequential(
            InstanceNorm(channels),
            nn.LeakyReLU(inplace=True),
            conv(channels, channels, kernel),
            InstanceNorm(channels),
            nn.LeakyReLU(inplace=True),
            conv(channels, channels, kernel),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
