"""Stems: the first layers, at high resolution, where each channel is expensive."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise

from torch import Tensor, nn

from .layers.convolutions import ConvNormAct
from .mixers.base import BlockContext
from .validation import Triple, divisor, each_axis, positive, triple


class Stem(nn.Module, ABC):
    """The first layers: map (B, C_in, D, H, W) to (B, C, D / s, H / s, W / s).

    A subclass's constructor takes the image channels, a `BlockContext` with the channels out and the kernel, and, by
    keyword, the stem's own options.

    Attributes:
        stride: downsampling s along (D, H, W).
    """

    stride: Triple = (1, 1, 1)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return the features of an image."""


class ConvStem(Stem):
    """3x3x3 convolutions, each with normalisation and activation, at full resolution.

    After Xiao et al. 2021, Early Convolutions Help Transformers See Better (https://arxiv.org/abs/2106.14881).
    Deviation: the stem keeps full resolution for the last skip connection of the decoder; the stages downsample.

    Args:
        in_channels: image channels.
        context: channels of the features, and kernel.
        layers: number of convolutions.
    """

    def __init__(self, in_channels: int, context: BlockContext, *, layers: int = 1) -> None:
        super().__init__()
        widths = [in_channels, *[context.channels] * positive(layers, "layers")]
        self.layers = nn.Sequential(*(ConvNormAct(before, after, context.kernel) for before, after in pairwise(widths)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class LevitStem(Stem):
    """A stack of strided 3x3x3 convolutions, each of which halves resolution and doubles channels.

    LeViT (Graham et al. 2021, https://arxiv.org/abs/2104.01136, section 4.2). Deviations: instance normalisation, and
    one halving by default instead of four, as segmentation needs resolution.

    Args:
        in_channels: image channels.
        context: channels of the features, and kernel.
        stride: downsampling, a power of two: one integer, or three along (D, H, W).

    Raises:
        ValueError: `stride` is not a power of two, or half of it does not divide the channels.
    """

    def __init__(self, in_channels: int, context: BlockContext, *, stride: int | Sequence[int] = 2) -> None:
        super().__init__()
        channels = context.channels
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
                ConvNormAct(before, after, context.kernel, stride=here)
                for (before, after), here in zip(pairwise(widths), strides, strict=True)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class GroupedStem(Stem):
    """A convolution, then grouped convolutions of growing dilation, at full resolution: a wide view with few weights.

    Convolutional token embedding as in CvT (Wu et al. 2021, https://arxiv.org/abs/2103.15808, section 3.1) and CMT
    (Guo et al. 2022, https://arxiv.org/abs/2107.06263, section 3.1). Deviations: no stride; groups and dilations 1, 2,
    ... instead of larger kernels.

    Args:
        in_channels: image channels.
        context: channels of the features, and kernel.
        layers: number of convolutions, the first of which is not grouped.
        groups: groups of the others.

    Raises:
        ValueError: `groups` does not divide the channels.
    """

    def __init__(self, in_channels: int, context: BlockContext, *, layers: int = 3, groups: int = 4) -> None:
        super().__init__()
        channels, kernel = context.channels, context.kernel
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


class PatchStem(Stem):
    """A linear embedding of patches that do not overlap: the stem of Swin UNETR.

    Swin (Liu et al. 2021, https://arxiv.org/abs/2103.14030, section 3.1).

    Args:
        in_channels: image channels.
        context: channels of the features.
        patch: voxels of a patch: one integer, or three along (D, H, W).
    """

    def __init__(self, in_channels: int, context: BlockContext, *, patch: int | Sequence[int] = 2) -> None:
        super().__init__()
        self.stride = triple(patch, "patch")
        self.embed = nn.Conv3d(in_channels, context.channels, self.stride, stride=self.stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.embed(x)


STEMS: Mapping[str, type[Stem]] = {
    "conv": ConvStem,
    "levit": LevitStem,
    "grouped": GroupedStem,
    "patch": PatchStem,
}
