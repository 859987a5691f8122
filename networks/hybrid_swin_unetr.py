"""HybridSwinUNETR: convolutions at high resolution, shifted-window attention at low resolution, a U-Net decoder.

A Swin-UNETR (Hatamizadeh et al. 2022, https://arxiv.org/abs/2201.01266) whose patch embedding and early stages are
convolutions, the order that CoAtNet found best (Dai et al. 2021, https://arxiv.org/abs/2106.04803). The preset `small`
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
from .mixers.base import BlockContext
from .registry import build
from .stems import STEMS, Stem
from .validation import Triple, times


class Encoder(nn.Module):
    """The stem and the stages: from an image to a pyramid of features, finest first.

    Publishes `channels` of each scale, `strides` from each scale to the next, `stem_stride` from the image to the
    finest scale, and `scales`, the total stride (D, H, W) of each scale.

    Args:
        config: the network's configuration.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.channels = (config.stem_channels, *config.channels)
        self.strides = config.strides
        context = BlockContext(config.stem_channels, config.stem_kernel)
        self.stem = build(config.stem, STEMS, Stem, "stem", config.in_channels, context)
        self.stem_stride = self.stem.stride
        self.scales = list(accumulate(self.strides, times, initial=self.stem_stride))
        self.stages = nn.ModuleList(make_stage(config, stage) for stage in range(len(config.channels)))

    def forward(self, image: Tensor) -> list[Tensor]:
        features = [self.stem(image)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features


def make_stage(config: NetworkConfig, stage: int) -> Stage:
    """Build a stage of the encoder by its index."""
    in_channels = (config.stem_channels, *config.channels)[stage]
    channels, kernel, stride = config.channels[stage], config.per_stage("kernels")[stage], config.strides[stage]
    down = build(config.downsampling, DOWNSAMPLINGS, nn.Module, "downsampling", in_channels, channels, kernel, stride)
    mixers = config.mixers[stage]
    turns: Sequence[Any] = [mixers]
    if isinstance(mixers, Sequence) and mixers and not isinstance(mixers, str):
        turns = mixers
    before, total = sum(config.depths[:stage]), sum(config.depths)
    blocks = [
        Block(
            BlockContext(channels, kernel, config.dropout, index // len(turns)),
            turns[index % len(turns)],
            config.feed_forward,
            drop_path=config.drop_path * (before + index) / max(1, total - 1),
            layer_scale=config.layer_scale,
        )
        for index in range(config.depths[stage])
    ]
    return Stage(down, blocks, config.checkpointing)


class Up(nn.Module):
    """A decoder stage: a transposed convolution, fusion with the encoder's features, convolutions.

    Args:
        below: channels of the coarser scale.
        channels: channels of this scale.
        stride: upsampling along (D, H, W), in voxels.
        fusion: joins the upsampled features and the encoder's.
        depth: number of convolutions.
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
    """The decoder stages: from the encoder's features to those of each scale but the coarsest, both finest first.

    Args:
        channels: channels of each scale of the encoder, finest first.
        strides: strides from each scale to the next, in voxels.
        config: the network's configuration.
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
                fusion=build(config.per_stage("fusion")[scale], FUSIONS, Fusion, "fusion", channels, strides, scale),
                depth=config.per_stage("decoder_depths")[scale],
                kernel=kernels[scale],
            )
            for scale, (here, below) in enumerate(pairwise(channels))
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        x = features[-1]
        decoded = []
        for step in reversed(self.steps):
            x = step(x, features)
            decoded.append(x)
        return decoded[::-1]


class HybridSwinUNETR(nn.Module):
    """A 3D segmentation network: convolutions at high resolution, attention at low resolution.

    `forward` maps images (B, C, D, H, W) of any size to logits (B, K, D, H, W). In training with deep supervision it
    returns a list of logits, finest first: at full resolution, then at the scale of each decoder stage, where a total
    stride s leaves D / s voxels, rounded up.

    Args:
        config: the network's configuration; `create_model` makes one from a preset.

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
        self.scales = self.encoder.scales
        self.stride = self.scales[-1]
        self.apply(initialise)
        # The memory format in which CPUs convolve fastest and the channels of a voxel are a token without a copy.
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
    """Build the layer that maps features at `stride` to logits at full resolution.

    With a stride above 1 it upsamples, as the last expanding layer of Swin-Unet does (Cao et al. 2021,
    https://arxiv.org/abs/2105.05537).
    """
    if stride == (1, 1, 1):
        return PointwiseConv(channels, classes)
    return nn.ConvTranspose3d(channels, classes, stride, stride=stride)


def pad(image: Tensor, stride: Triple) -> Tensor:
    """Pad (B, C, D, H, W) with zeros at the far ends to a multiple of the stride.

    Instance normalisation of one voxel is undefined, so an image within a single stride is padded to two along its
    last axis.

    Raises:
        ValueError: the image does not have five axes, or is empty.
    """
    if image.ndim != 5 or 0 in image.shape:
        raise ValueError(f"image: shape {tuple(image.shape)}: must be (B, C, D, H, W), none of them 0")
    size = [math.ceil(n / s) * s for n, s in zip(image.shape[2:], stride, strict=True)]
    if tuple(size) == stride:
        size[-1] *= 2
    depth, height, width = (padded - n for padded, n in zip(size, image.shape[2:], strict=True))
    return functional.pad(image, (0, width, 0, height, 0, depth)) if depth or height or width else image


def crop(logits: Tensor, size: torch.Size, scale: Triple) -> Tensor:
    """Crop the padding of `pad` from logits (B, K, D, H, W) at a scale of an image of `size` voxels."""
    depth, height, width = (math.ceil(n / s) for n, s in zip(size, scale, strict=True))
    return logits[:, :, :depth, :height, :width]


def initialise(module: nn.Module) -> None:
    """Initialise ungrouped convolutions as in He et al. 2015 (https://arxiv.org/abs/1502.01852), linear layers as in
    Swin, and set the biases of both to 0."""
    if isinstance(module, nn.Conv3d) and module.groups == 1:
        nn.init.kaiming_normal_(module.weight, a=0.01)
    elif isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
    if isinstance(module, nn.Conv3d | nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
