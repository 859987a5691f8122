"""Attention among all voxels of a map, for the coarsest stages, and how queries, keys and values are projected.

B  items         C  channels
N  voxels        h  heads
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hybridseg.networks.layers.layout import to_map, to_tokens
from hybridseg.networks.validation import Triple, divisor, not_negative, triple

from .projections import project
from .window_grid import relative_offset, voxel_positions


def heads_apart(tokens: Tensor, heads: int) -> Tensor:
    """Cut projected tokens (B, D, H, W, 3 C) into queries, keys and values of each head: (3, B, h, N, C / h)."""
    return tokens.flatten(1, 3).unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)


class GlobalMixer(nn.Module, ABC):
    """Multi-head attention among all voxels of a map; what kind is `attend`'s to say.

    Args:
        channels: channels in and out.
        index: the block's index among those of its stage with this mixer; all are alike.
        kernel: voxels of the kernel of a depth-wise projection.
        dropout: probability to zero an entry of the result.
        heads: attention heads.
        projection: one of `PROJECTIONS`.

    Raises:
        ValueError: `heads` does not divide `channels`.
    """

    mixes_channels = False

    def __init__(
        self,
        channels: int,
        index: int = 0,
        *,
        kernel: Triple = (3, 3, 3),
        dropout: float = 0.0,
        heads: int,
        projection: str = "linear",
    ) -> None:
        super().__init__()
        self.heads = divisor(heads, channels, "heads")
        self.norm = nn.LayerNorm(channels)
        self.query_key_value = project(projection, channels, kernel)
        self.projection = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        depth, height, width = x.shape[2:]
        tokens = self.query_key_value(self.norm(to_tokens(x)))
        query, key, value = heads_apart(tokens, self.heads)
        mixed = self.attend(query, key, value, (depth, height, width))
        tokens = torch.cat(mixed.unbind(1), dim=-1).unflatten(1, (depth, height, width))  # heads side by side
        return to_map(self.dropout(self.projection(tokens)))

    @abstractmethod
    def attend(self, query: Tensor, key: Tensor, value: Tensor, size: Triple) -> Tensor:
        """What each query hears: (B, h, N, C / h), as all three are, of a map of `size` voxels along (D, H, W)."""


class RelativeMixer(GlobalMixer):
    """Multi-head attention among all voxels of the map, with a learned relative position bias.

    The relative attention of CoAtNet's last stages (Dai et al. 2021, https://arxiv.org/abs/2106.04803, equation 3,
    second form). Deviation: offsets beyond `extent` share the bias of the farthest, so that a map may have any size.
    Memory grows with the square of the voxels.

    Args:
        channels: channels in and out.
        index: the block's index among those of its stage with this mixer; all are alike.
        extent: voxels of the largest map whose offsets are all told apart: one integer, or three along (D, H, W).
        options: those of `GlobalMixer`.

    Raises:
        ValueError: `heads` does not divide `channels`, or `extent` is neither one nor three positive integers.
    """

    def __init__(self, channels: int, index: int = 0, *, extent: int | Sequence[int] = 8, **options: Any) -> None:
        super().__init__(channels, index, **options)
        self.extent = triple(extent, "extent")
        offsets = [2 * entry - 1 for entry in self.extent]
        self.bias_table = nn.Parameter(torch.zeros(self.heads, offsets[0] * offsets[1] * offsets[2]))
        nn.init.trunc_normal_(self.bias_table, std=0.02)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, size: Triple) -> Tensor:
        index = relative_offset(size, self.extent, query.device)
        bias = self.bias_table.index_select(1, index).view(1, self.heads, *[math.prod(size)] * 2)
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))


class GatedMixer(GlobalMixer):
    """Attention by content and attention by position, weighed by a gate of each head, among all voxels of the map.

    Gated positional self-attention of ConViT (d'Ascoli et al. 2021, https://arxiv.org/abs/2103.10697, equations 5 to
    7), in three dimensions. Each head begins to look at one offset, as a convolution does, the nearest first.
    Deviations: values do not begin as the identity; and the weighted mean is not normalised again, as it is that of
    two distributions. Memory grows with the square of the voxels.

    Args:
        channels: channels in and out.
        index: the block's index among those of its stage with this mixer; all are alike.
        locality: how sharply a head begins to look at its offset.
        options: those of `GlobalMixer`.

    Raises:
        ValueError: `heads` does not divide `channels`, or `locality` is negative.
    """

    def __init__(self, channels: int, index: int = 0, *, locality: float = 1.0, **options: Any) -> None:
        super().__init__(channels, index, **options)
        self.gate = nn.Parameter(torch.ones(self.heads))
        neighbours = torch.cartesian_prod(*[torch.tensor([0.0, 1.0, -1.0])] * 3)
        nearest = neighbours[neighbours.abs().sum(1).argsort(stable=True)]
        centre = nearest.repeat(self.heads // 27 + 1, 1)[: self.heads]
        focus = torch.cat([-torch.ones(self.heads, 1), 2 * centre], dim=1)
        self.position = nn.Parameter(not_negative(locality, "locality") * focus)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, size: Triple) -> Tensor:
        by_content = functional.scaled_dot_product_attention(query, key, value)
        by_position = self.attend_by_position(size, value.device).to(value.dtype) @ value
        gate = self.gate.sigmoid().view(-1, 1, 1).to(value.dtype)
        return (1 - gate) * by_content + gate * by_position

    def attend_by_position(self, size: Triple, device: torch.device) -> Tensor:
        """How much each voxel looks at each other (h, N, N), by the offset between them: each row sums to 1."""
        position = voxel_positions(size, device).to(self.position.dtype)
        offset = position[None] - position[:, None]  # from query to key (N, N, 3)
        features = torch.cat([offset.square().sum(-1, keepdim=True), offset], dim=-1)
        return torch.einsum("qkf,hf->hqk", features, self.position).softmax(dim=-1)
