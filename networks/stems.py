"""What meets the image first, where resolution is high and every channel is dear.

A stem takes (B, C_in, D, H, W) and gives (B, C, D / s, H / s, W / s); it publishes `stride`, the s along (D, H, W). Its
constructor takes the channels in and out, `kernel` along (D, H, W), and its own options.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from torch import Tensor, nn

from .layers.convolutions import ConvNormAct
from .validation import Triple, divisor, each_axis, positive, triple


class ConvStem(nn.Module):
    """3x3x3 convolutions, each with normalisation and activation, at full resolution.

    After Xiao et al. 2021, Early Convolutions Help Transformers See Better (https://arxiv.org/abs/2106.14881).
    Deviation: full resolution is kept for the decoder's last skip connection; the strides follow in the stages.

    Args:
        in_channels: image channels.
        channels: channels of the features.
        kernel: voxels of the kernels.
        layers: how many convolutions.
    """

    stride: Triple = (1, 1, 1)

    def __init__(self, in_channels: int, channels: int, *, kernel: Triple, layers: int = 1) -> None:
        super().__init__()
        widths = [in_channels, *[channels] * positive(layers, "layers")]
        self.layers = nn.Sequential(*(ConvNormAct(before, after, kernel) for before, after in pairwise(widths)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class LevitStem(nn.Module):
    """A stack of strided 3x3x3 convolutions, each halving space and doubling channels.

    LeViT (Graham et al. 2021, https://arxiv.org/abs/2104.01136, section 4.2). Deviations: instance normalisation, and
    by default one halving in place of four, as segmentation needs resolution.

    Args:
        in_channels: image channels.
        channels: channels of the features.
        kernel: voxels of the kernels.
        stride: downsampling, a power of two: one integer, or three along (D, H, W).

    Raises:
        ValueError: `stride` is not a power of two, or its halvings do not divide `channels`.
    """

    def __init__(self, in_channels: int, channels: int, *, kernel: Triple, stride: int | Sequence[int] = 2) -> None:
        super().__init__()
        self.stride = triple(stride, "stride")
        if any(entry & (entry - 1) for entry in self.stride):
            raise ValueError(f"stride: {stride!r}: must be powers of two")
        halvings = max(1, *(int(math.log2(entry)) for entry in self.stride))
        if channels % 2 ** (halvings - 1):
            raise ValueError(f"stride: {stride!r}: {2 ** (halvings - 1)}, half of it, must divide {channels} channels")
        widths = [in_channels, *(channels // 2**step for step in reversed(range(halvings)))]
        strides = [each_axis(lambda s, step=step: 2 if s >> (step + 1) else 1, self.stride) for step in range(halvings)]
        self.layers = nn.Sequential(
            *(
                ConvNormAct(before, after, kernel, stride=here)
                for (before, after), here in zip(pairwise(widths), strides, strict=True)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class GroupedStem(nn.Module):
    """A convolution, then grouped ones of growing dilation, at full resolution: a wide view at few weights.

    Convolutional token embedding as in CvT (Wu et al. 2021, https://arxiv.org/abs/2103.15808, section 3.1) and CMT
    (Guo et al. 2022, https://arxiv.org/abs/2107.06263, section 3.1). Deviations: no stride; groups and dilations 1, 2,
    ... in place of larger kernels.

    Args:
        in_channels: image channels.
        channels: channels of the features.
        kernel: voxels of the kernels.
        layers: how many convolutions, the first of which is not grouped.
        groups: of the others.

    Raises:
        ValueError: `groups` does not divide `channels`.
    """

    stride: Triple = (1, 1, 1)

    def __init__(self, in_channels: int, channels: int, *, kernel: Triple, layers: int = 3, groups: int = 4) -> None:
        super().__init__()
        divisor(groups, channels, "groups")
        self.layers = nn.Sequential(
            ConvNormAct(in_channels, channels, kernel),
            *(
                ConvNormAct(channels, channels, kernel, groups=groups, dilation=dilation)
                for dilation in range(1, positive(layers, "layers"))
            ),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class PatchStem(nn.Module):
    """One linear embedding of patches that do not overlap: the stem of Swin UNETR.

    Swin (Liu et al. 2021, https://arxiv.org/abs/2103.14030, section 3.1).

    Args:
        in_channels: image channels.
        channels: channels of the features.
        kernel: of no use here, as patches do not overlap.
        patch: voxels of a patch: one integer, or three along (D, H, W).
    """

    def __init__(self, in_channels: int, channels: int, *, kernel: Triple, patch: int | Sequence[int] = 2) -> None:
        super().__init__()
        self.stride = triple(patch, "patch")
        self.embed = nn.Conv3d(in_channels, channels, self.stride, stride=self.stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.embed(x)


STEMS: Mapping[str, type[nn.Module]] = {
    "conv": ConvStem,
    "levit": LevitStem,
    "grouped": GroupedStem,
    "patch": PatchStem,
}
