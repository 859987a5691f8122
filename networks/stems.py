"""What meets the image first, at full resolution, where every channel is dear.

A stem takes (B, C_in, D, H, W) and gives (B, C, D, H, W). Its constructor takes the channels in and out, and its own
options.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


class ConvStem(nn.Module):
    """One 3x3x3 convolution with normalisation and activation, without downsampling.

    After Xiao et al. 2021, Early Convolutions Help Transformers See Better (https://arxiv.org/abs/2106.14881).
    Deviation: full resolution is kept for the decoder's last skip connection; the strides follow in the stages.

    Args:
        in_channels: image channels.
        channels: channels of the features.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(in_channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm3d(channels, affine=True),
            nn.LeakyReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


STEMS: Mapping[str, type[nn.Module]] = {"conv": ConvStem}
