"""Attention among all voxels of a map, for the coarsest stages.

B  batch items    C  channels
N  voxels         h  heads
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hybridseg.networks.layers.layout import to_map, to_tokens
from hybridseg.networks.validation import Triple, divisor, not_negative, triple

from .base import BlockContext, Mixer
from .projections import project
from .window_grid import WindowGrid, relative_offset, voxel_positions, window_grid


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """Split projected tokens (B, D, H, W, 3 C) into the queries, keys and values of each head: (3, B, h, N, C / h)."""
    return tokens.flatten(1, 3).unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)


class GlobalMixer(Mixer):
    """Multi-head attention among all voxels of a map; subclasses define it in `attend`.

    Args:
        context: channels, dropout, and the kernel of a depth-wise projection.
        heads: attention heads.
        projection: one of `PROJECTIONS`.

    Raises:
        ValueError: `heads` does not divide the channels.
    """

    def __init__(self, context: BlockContext, *, heads: int, projection: str = "linear") -> None:
        super().__init__()
        self.heads = divisor(heads, context.channels, "heads")
        self.norm = nn.LayerNorm(context.channels)
        self.query_key_value = project(projection, context)
        self.projection = nn.Linear(context.channels, context.channels)
        self.dropout = nn.Dropout(context.dropout)

    def forward(self, x: Tensor) -> Tensor:
        depth, height, width = x.shape[2:]
        tokens = self.query_key_value(self.norm(to_tokens(x)))  # (B, D, H, W, 3 C)
        query, key, value = split_heads(tokens, self.heads)  # (B, h, N, C / h) each
        mixed = self.attend(query, key, value, (depth, height, width))  # (B, h, N, C / h)
        tokens = torch.cat(mixed.unbind(1), dim=-1)  # (B, N, C)
        tokens = tokens.unflatten(1, (depth, height, width))  # (B, D, H, W, C)
        return to_map(self.dropout(self.projection(tokens)))

    def windows(self, size: Triple) -> WindowGrid | None:
        return window_grid(size, size, False)

    @abstractmethod
    def attend(self, query: Tensor, key: Tensor, value: Tensor, size: Triple) -> Tensor:
        """Return what each query receives, (B, h, N, C / h) as all three, on a map of `size` voxels (D, H, W)."""


class RelativeMixer(GlobalMixer):
    """Multi-head attention among all voxels of the map, with a learned relative position bias.

    The relative attention of CoAtNet's last stages (Dai et al. 2021, https://arxiv.org/abs/2106.04803, equation 3,
    second form). Deviation: offsets beyond `extent` share the bias of the farthest, so that a map may have any size.
    Memory grows with the square of the number of voxels.

    Args:
        context: channels, dropout, and the kernel of a depth-wise projection.
        extent: voxels of the largest map in which each offset has its own bias: one integer, or three along (D, H, W).
        options: those of `GlobalMixer`.

    Raises:
        ValueError: `heads` does not divide the channels, or `extent` is neither one nor three positive integers.
    """

    def __init__(self, context: BlockContext, *, extent: int | Sequence[int] = 8, **options: Any) -> None:
        super().__init__(context, **options)
        self.extent = triple(extent, "extent")
        offsets = [2 * entry - 1 for entry in self.extent]
        self.bias_table = nn.Parameter(torch.zeros(self.heads, offsets[0] * offsets[1] * offsets[2]))
        nn.init.trunc_normal_(self.bias_table, std=0.02)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, size: Triple) -> Tensor:
        index = relative_offset(size, self.extent, query.device)
        bias = self.bias_table.index_select(1, index).view(1, self.heads, *[math.prod(size)] * 2)
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))


class GatedMixer(GlobalMixer):
    """Attention by content and attention by position, weighted by a gate per head, among all voxels of the map.

    Gated positional self-attention of ConViT (d'Ascoli et al. 2021, https://arxiv.org/abs/2103.10697, equations 5 to
    7), in three dimensions. Each head initially attends to one offset, as a convolution does, the nearest first.
    Deviations: values are not initialised as the identity; and the weighted sum is not normalised again, since both
    attentions already sum to 1. Memory grows with the square of the number of voxels.

    Args:
        context: channels, dropout, and the kernel of a depth-wise projection.
        locality: how sharply a head initially attends to its offset.
        options: those of `GlobalMixer`.

    Raises:
        ValueError: `heads` does not divide the channels, or `locality` is negative.
    """

    def __init__(self, context: BlockContext, *, locality: float = 1.0, **options: Any) -> None:
        super().__init__(context, **options)
        self.gate = nn.Parameter(torch.ones(self.heads))
        neighbours = torch.cartesian_prod(*[torch.tensor([0.0, 1.0, -1.0])] * 3)
        nearest = neighbours[neighbours.abs().sum(1).argsort(stable=True)]
        centre = nearest.repeat(self.heads // 27 + 1, 1)[: self.heads]
        focus = torch.cat([-torch.ones(self.heads, 1), 2 * centre], dim=1)
        self.position = nn.Parameter(not_negative(locality, "locality") * focus)

    def windows(self, size: Triple) -> WindowGrid | None:
        return None  # its weights are a mean of two attentions, only one of which is a scaled dot product

    def attend(self, query: Tensor, key: Tensor, value: Tensor, size: Triple) -> Tensor:
        by_content = functional.scaled_dot_product_attention(query, key, value)
        by_position = self.attend_by_position(size, value.device).to(value.dtype) @ value
        gate = self.gate.sigmoid().view(-1, 1, 1).to(value.dtype)
        return (1 - gate) * by_content + gate * by_position

    def attend_by_position(self, size: Triple, device: torch.device) -> Tensor:
        """Return the weight of each key for each query by the offset between them: (h, N, N), each row sums to 1."""
        position = voxel_positions(size, device).to(self.position.dtype)
        offset = position[None] - position[:, None]  # from query to key (N, N, 3)
        features = torch.cat([offset.square().sum(-1, keepdim=True), offset], dim=-1)
        return torch.einsum("qkf,hf->hqk", features, self.position).softmax(dim=-1)
