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
    conv     96 x D/4 H/4 W/4  ------------- skip ------------->  up  96 ------> head  (training only)
        | stride 2                                                 ^
    window  192 x D/8 H/8 W/8  ------------------------------------+
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import DOWNSAMPLINGS, Block, Stage
from .config import NetworkConfig
from .fusion import FUSIONS, Fusion
from .layers.convolutions import ConvNormAct, PointwiseConv
from .registry import build
from .stems import STEMS
from .validation import Triple, times


class Encoder(nn.Module):
    """The stem and the stages: an image in, a pyramid of features out, finest first.

    Publishes `channels` of each scale, `strides` from each scale to the next, and `stem_stride` from the image to the
    finest scale.

    Args:
        config: what the network consists of.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.channels = (config.stem_channels, *config.channels)
        self.strides = config.strides
        self.stem = build(
            config.stem, STEMS, "stem", config.in_channels, config.stem_channels, kernel=config.stem_kernel
        )
        self.stem_stride: Triple = self.stem.stride
        self.stages = nn.ModuleList(make_stage(config, stage) for stage in range(len(config.channels)))

    def forward(self, image: Tensor) -> list[Tensor]:
        return list(accumulate(self.stages, lambda x, stage: stage(x), initial=self.stem(image)))


def make_stage(config: NetworkConfig, stage: int) -> Stage:
    """Build a stage of the encoder by its number."""
    above = (config.stem_channels, *config.channels)[stage]
    here, kernel = config.channels[stage], config.per_stage("kernels")[stage]
    down = build(
        config.downsampling, DOWNSAMPLINGS, "downsampling", above, here, kernel=kernel, stride=config.strides[stage]
    )
    mixers = config.mixers[stage]
    turns: Sequence[Any] = [mixers]
    if isinstance(mixers, Sequence) and mixers and not isinstance(mixers, str):
        turns = mixers
    before, total = sum(config.depths[:stage]), sum(config.depths)
    blocks = [
        Block(
            here,
            turns[index % len(turns)],
            index // len(turns),
            kernel=kernel,
            feed_forward=config.feed_forward,
            drop_path=config.drop_path * (before + index) / max(1, total - 1),
            dropout=config.dropout,
            layer_scale=config.layer_scale,
        )
        for index in range(config.depths[stage])
    ]
    return Stage(down, blocks, config.checkpointing)


class Up(nn.Module):
    """A step up the decoder: a transposed convolution, fusion with the encoder's features, convolutions over both.

    Args:
        below: channels of the coarser scale.
        channels: channels of this scale.
        stride: upsampling along (D, H, W), in voxels.
        fusion: joins what came up and the encoder's features.
        depth: how many convolutions.
        kernel: voxels of their kernels.
    """

    def __init__(
        self, below: int, channels: int, *, stride: Triple, fusion: Fusion, depth: int, kernel: Triple
    ) -> None:
        super().__init__()
        self.up = nn.ConvTranspose3d(below, channels, stride, stride=stride, bias=False)
        self.fusion = fusion
        widths = [fusion.channels, *[channels] * depth]
        self.layers = nn.Sequential(*(ConvNormAct(before, after, kernel) for before, after in pairwise(widths)))

    def forward(self, x: Tensor, features: Sequence[Tensor]) -> Tensor:
        return self.layers(self.fusion(self.up(x), features))


class Decoder(nn.Module):
    """From a pyramid of features, finest first, to one at every scale but the coarsest, finest first.

    Args:
        channels: channels of each scale of the encoder, finest first.
        strides: from each scale to the next, in voxels.
        config: what the network consists of.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[Triple], config: NetworkConfig) -> None:
        super().__init__()
        self.channels = tuple(channels[:-1])
        kernels = (config.stem_kernel, *config.per_stage("kernels"))
        self.steps = nn.ModuleList(
            Up(
                below,
                here,
                stride=strides[scale],
                fusion=build(config.per_stage("fusion")[scale], FUSIONS, "fusion", channels, strides, scale),
                depth=config.per_stage("decoder_depths")[scale],
                kernel=kernels[scale],
            )
            for scale, (here, below) in enumerate(pairwise(channels))
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return list(accumulate(reversed(self.steps), lambda x, up: up(x, features), initial=features[-1]))[:0:-1]


class HybridSwinUNETR(nn.Module):
    """A 3D segmentation network that is convolutional at high resolution and attends at low resolution.

    `forward` takes images (B, C, D, H, W) of any size and gives logits (B, K, D, H, W). In training with deep
    supervision it gives a list of logits, finest first: at full resolution, and at the scale of each stage of the
    decoder, D / s rounded up for a scale of total stride s.

    Args:
        config: what the network consists of; `create_model` makes one from a preset.

    Examples:
        >>> from hybridseg.networks import create_model
        >>> model = create_model("tiny", in_channels=1, out_channels=3).eval()
        >>> model(torch.zeros(1, 1, 20, 33, 17)).shape
        torch.Size([1, 3, 20, 33, 17])
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(self.encoder.channels, self.encoder.strides, config)
        finest, *others = self.decoder.channels
        self.heads = nn.ModuleList([make_head(finest, config.out_channels, self.encoder.stem_stride)])
        if config.deep_supervision:
            self.heads.extend(PointwiseConv(channels, config.out_channels) for channels in others)
        self.scales = list(accumulate(self.encoder.strides, times, initial=self.encoder.stem_stride))
        self.stride = self.scales[-1]
        self.apply(initialise)
        # The order of memory in which a CPU convolves fastest, and a voxel's channels are a token without a copy.
        self.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        features = self.decoder(self.encoder(pad(image, self.stride)))
        if not (self.training and self.config.deep_supervision):
            return crop(self.heads[0](features[0]), image.shape[2:], (1, 1, 1))
        scales = [(1, 1, 1), *self.scales[1:-1]]
        return [
            crop(head(x), image.shape[2:], scale) for head, x, scale in zip(self.heads, features, scales, strict=True)
        ]


def make_head(channels: int, classes: int, stride: Triple) -> nn.Module:
    """Logits of the image's voxels from features at `stride`: where it is not 1, each gives a block of voxels, as in
    Swin-Unet's last expanding layer (Cao et al. 2021, https://arxiv.org/abs/2105.05537)."""
    if stride == (1, 1, 1):
        return PointwiseConv(channels, classes)
    return nn.ConvTranspose3d(channels, classes, stride, stride=stride)


def pad(image: Tensor, stride: Triple) -> Tensor:
    """Pad (B, C, D, H, W) with zeros at the far ends to whole strides, and to more than one voxel at the coarsest.

    Instance normalisation of one voxel is undefined, so an image within a single stride is padded to two along its
    last axis.

    Raises:
        ValueError: the image has another number of axes, or is empty.
    """
    if image.ndim != 5 or 0 in image.shape:
        raise ValueError(f"image: shape {tuple(image.shape)}: must be (B, C, D, H, W), none of them 0")
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
