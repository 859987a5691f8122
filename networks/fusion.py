"""Fusions: how a decoder stage joins the upsampled features and those of the encoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional

from .layers.layout import to_map, to_tokens
from .validation import Triple, divisor, times


class Fusion(nn.Module, ABC):
    """Joins the upsampled features (B, C, D, H, W) with the encoder's features of all scales to (B, C', D, H, W).

    A subclass's constructor takes the encoder's channels of each scale, the strides from each scale to the next, both
    finest first, the index of its own scale, and, by keyword, the fusion's own options.

    Attributes:
        channels: channels C' of the result.
    """

    channels: int

    @abstractmethod
    def forward(self, up: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Join `up` and `features`, finest first."""


class ConcatFusion(Fusion):
    """Concatenation: the skip connection of U-Net (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597).

    Args:
        channels: channels of each scale.
        strides: strides from each scale to the next.
        scale: index of the scale.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[Triple], scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.channels = 2 * channels[scale]

    def forward(self, up: Tensor, features: Sequence[Tensor]) -> Tensor:
        return torch.cat([up, features[self.scale]], dim=1)


class AddFusion(Fusion):
    """Addition: half the work for the next convolution (LinkNet, Chaurasia and Culurciello 2017,
    https://arxiv.org/abs/1707.03718).

    Args:
        channels: channels of each scale.
        strides: strides from each scale to the next.
        scale: index of the scale.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[Triple], scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels[scale]

    def forward(self, up: Tensor, features: Sequence[Tensor]) -> Tensor:
        return up + features[self.scale]


class AttentionFusion(Fusion):
    """Attention across scales, added to the skip connection before concatenation.

    Multi-head attention across scales at every location: the query is this scale's voxel, keys and values are the
    voxels of all scales at the same place (after CMT, Guo et al. 2022, https://arxiv.org/abs/2107.06263, and DuoFormer,
    Tang et al. 2024, https://arxiv.org/abs/2407.13920). Finer scales are averaged over the voxel, coarser ones
    repeated.

    Args:
        channels: channels of each scale.
        strides: strides from each scale to the next.
        scale: index of the scale.
        heads: attention heads.

    Raises:
        ValueError: `heads` does not divide the channels of the scale.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[Triple], scale: int, *, heads: int = 4) -> None:
        super().__init__()
        here = channels[scale]
        self.scale = scale
        self.channels = 2 * here
        self.heads = divisor(heads, here, "heads")
        one: Triple = (1, 1, 1)
        self.finer = [reduce(times, strides[other:scale], one) for other in range(scale)]
        self.coarser = [reduce(times, strides[scale:other], one) for other in range(scale, len(channels))]
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in channels)
        self.query = nn.Linear(here, here)
        self.key_value = nn.ModuleList(nn.Linear(width, 2 * here) for width in channels)
        self.projection = nn.Linear(here, here)

    def forward(self, up: Tensor, features: Sequence[Tensor]) -> Tensor:
        skip = features[self.scale]
        averaged = [functional.avg_pool3d(x, stride, stride) for x, stride in zip(features, self.finer, strict=False)]
        tokens = [norm(to_tokens(x)) for norm, x in zip(self.norms, [*averaged, *features[self.scale :]], strict=True)]
        projected = [layer(x) for layer, x in zip(self.key_value, tokens, strict=True)]
        strides = [(1, 1, 1)] * self.scale + self.coarser
        projected = [repeat_voxels(x, stride) for x, stride in zip(projected, strides, strict=True)]
        query = self.query(tokens[self.scale]).unflatten(-1, (self.heads, -1))  # (B, D, H, W, heads, C / heads)
        keys, values = zip(*(x.unflatten(-1, (2, self.heads, -1)).unbind(-3) for x in projected), strict=True)
        scores = torch.stack([(query * key).sum(-1) for key in keys]) * query.shape[-1] ** -0.5  # (scales, ..., heads)
        weights = scores.softmax(dim=0)[..., None]
        mixed = (weights * torch.stack(values)).sum(dim=0).flatten(-2)
        skip = skip + to_map(self.projection(mixed))
        return torch.cat([up, skip], dim=1)


def repeat_voxels(tokens: Tensor, counts: Triple) -> Tensor:
    """Repeat each voxel of (B, D, H, W, C) `counts` times along (D, H, W)."""
    if counts == (1, 1, 1):
        return tokens
    batch, depth, height, width, channels = tokens.shape
    apart = tokens[:, :, None, :, None, :, None].expand(-1, -1, counts[0], -1, counts[1], -1, counts[2], -1)
    return apart.reshape(batch, depth * counts[0], height * counts[1], width * counts[2], channels)


FUSIONS: Mapping[str, type[Fusion]] = {"concat": ConcatFusion, "add": AddFusion, "attention": AttentionFusion}
