"""The convolutional mixer: a residual branch of two convolutions."""

from __future__ import annotations

from torch import Tensor, nn

from hybridseg.networks.layers.convolutions import conv
from hybridseg.networks.layers.norms import InstanceNorm
from hybridseg.networks.validation import Triple


class ConvMixer(nn.Module):
    """Two convolutions, each after normalisation and activation.

    The pre-activation residual branch of He et al. 2016 (https://arxiv.org/abs/1603.05027, figure 1b), in three
    dimensions and with instance normalisation.

    Args:
        channels: channels in and out.
        index: the block's index among those of its stage with this mixer; all are alike.
        kernel: voxels of the kernels.
        dropout: of no use here.
    """

    mixes_channels = True

    def __init__(self, channels: int, index: int = 0, *, kernel: Triple = (3, 3, 3), dropout: float = 0.0) -> None:
        super().__init__()
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
