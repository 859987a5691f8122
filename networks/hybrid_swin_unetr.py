"""HybridSwinUNETR: convolutions where resolution is high, shifted-window attention where it is low, a U-Net decoder.

A Swin-UNETR (Hatamizadeh et al. 2022, https://arxiv.org/abs/2201.01266) whose patch embedding and early stages are
convolutions, in the order CoAtNet found best (Dai et al. 2021, https://arxiv.org/abs/2106.04803). The preset `small`,
for an image of D x H x W:

    image     1 x D x H x W                                             logits  D x H x W
        |                                                                  ^
    stem     16 x D   H   W    ------------- skip ------------->  up  16 --+---> head
        | stride 2                                                 ^
    conv     32 x D/2 H/2 W/2  ------------- skip ------------->  up  32 ------> head  (training only)
        | stride 2                                                 ^
    window   96 x D/4 H/4 W/4  ------------- skip ------------->  up  96 ------> head  (training only)
        | stride 2                                                 ^
    window  192 x D/8 H/8 W/8  ------------------------------------+
"""

from __future__ import annotations

import math
from functools import partial, reduce
from itertools import accumulate, pairwise
from operator import mul

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import Stage
from .config import NetworkConfig, Triple, build, each_axis, triple
from .stems import STEMS

times = partial(each_axis, mul)
"""The total stride (D, H, W) of two steps."""


class Encoder(nn.Module):
    """The stem and the stages: an image in, a pyramid of features out, finest first.

    Publishes `channels`, of each scale, and `strides`, from each scale to the next.

    Args:
        config: what the network consists of.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.channels = (config.stem_channels, *config.channels)
        self.strides = tuple(triple(stride, "strides") for stride in config.strides)
        self.stem = build(config.stem, STEMS, "stem", config.in_channels, config.stem_channels)
        self.stages = nn.ModuleList(
            Stage(above, here, stride=stride, depth=depth, mixer=mixer, checkpointing=config.checkpointing)
            for (above, here), stride, depth, mixer in zip(
                pairwise(self.channels), self.strides, config.depths, config.mixers, strict=True
            )
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        return list(accumulate(self.stages, lambda x, stage: stage(x), initial=self.stem(image)))


class Up(nn.Module):
    """A step up the decoder: a transposed convolution, the skip connection beside it, one 3x3x3 convolution over both.

    Args:
        below: channels of the coarser scale.
        channels: channels of this scale.
        stride: upsampling along (D, H, W), in voxels.
    """

    def __init__(self, below: int, channels: int, stride: Triple) -> None:
        super().__init__()
        self.up = nn.ConvTranspose3d(below, channels, stride, stride=stride, bias=False)
        self.fuse = nn.Sequential(
            nn.Conv3d(2 * channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm3d(channels, affine=True),
            nn.LeakyReLU(inplace=True),
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.fuse(torch.cat([self.up(x), skip], dim=1))


class Decoder(nn.Module):
    """From a pyramid of features, finest first, to one at every scale but the coarsest, finest first.

    Args:
        channels: channels of each scale of the encoder, finest first.
        strides: from each scale to the next, in voxels.
    """

    def __init__(self, channels: tuple[int, ...], strides: tuple[Triple, ...]) -> None:
        super().__init__()
        self.channels = channels[:-1]
        self.steps = nn.ModuleList(
            Up(below, here, stride) for (here, below), stride in zip(pairwise(channels), strides, strict=True)
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        x, decoded = features[-1], []
        for step, skip in zip(reversed(self.steps), reversed(features[:-1]), strict=True):
            x = step(x, skip)
            decoded.append(x)
        return decoded[::-1]


class HybridSwinUNETR(nn.Module):
    """A 3D segmentation network that is convolutional at high resolution and attends at low resolution.

    `forward` takes images (B, C, D, H, W) of any size and gives logits (B, K, D, H, W). In training with deep
    supervision it gives a list of logits, finest first, each at its own scale: D / s rounded up for a scale of total
    stride s.

    Args:
        config: what the network consists of; `create_model` makes one from a preset.

    Example:
        >>> from hybridseg.networks import create_model
        >>> model = create_model("tiny", in_channels=1, out_channels=3).eval()
        >>> model(torch.zeros(1, 1, 20, 33, 17)).shape
        torch.Size([1, 3, 20, 33, 17])
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(self.encoder.channels, self.encoder.strides)
        scales = len(self.decoder.channels) if config.deep_supervision else 1
        self.heads = nn.ModuleList(nn.Conv3d(c, config.out_channels, 1) for c in self.decoder.channels[:scales])
        self.stride = reduce(times, self.encoder.strides)
        self.apply(initialise)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        if image.ndim != 5:
            raise ValueError(f"image: shape {tuple(image.shape)}: must be (B, C, D, H, W)")
        features = self.decoder(self.encoder(pad(image, self.stride)))
        logits = [head(x) for head, x in zip(self.heads, features, strict=False)]
        if not (self.training and self.config.deep_supervision):
            return crop(logits[0], image.shape[2:], (1, 1, 1))
        scales = accumulate(self.encoder.strides, times, initial=(1, 1, 1))
        return [crop(entry, image.shape[2:], scale) for entry, scale in zip(logits, scales, strict=False)]


def pad(image: Tensor, stride: Triple) -> Tensor:
    """Pad (B, C, D, H, W) with zeros at the far ends to whole strides, and to more than one voxel at the coarsest.

    Instance normalisation of one voxel is undefined, so an image within a single stride is padded to two along its
    last axis.
    """
    size = [math.ceil(n / s) * s for n, s in zip(image.shape[2:], stride, strict=True)]
    if tuple(size) == stride:
        size[-1] *= 2
    depth, height, width = (padded - n for padded, n in zip(size, image.shape[2:], strict=True))
    return functional.pad(image, (0, width, 0, height, 0, depth)) if depth or height or width else image


def crop(logits: Tensor, size: torch.Size, scale: Triple) -> Tensor:
    """Take away what `pad` added: an image of `size` voxels fills size / scale of (B, K, D, H, W), rounded up."""
    depth, height, width = (math.ceil(n / s) for n, s in zip(size, scale, strict=True))
    return logits[:, :, :depth, :height, :width]


def initialise(module: nn.Module) -> None:
    """Full convolutions by He et al. 2015 (https://arxiv.org/abs/1502.01852), matrix products as in Swin."""
    if isinstance(module, nn.Conv3d) and module.groups == 1:
        nn.init.kaiming_normal_(module.weight, a=0.01)
    elif isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
    if isinstance(module, nn.Conv3d | nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
