"""Attention of all voxels to a coarser map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hybridseg.networks.layers.layout import to_map, to_tokens
from hybridseg.networks.validation import divisor, each_axis, triple

from .base import BlockContext, Mixer


class ReducedMixer(Mixer):
    """Multi-head attention of each voxel to keys and values from means over small boxes of the map.

    CMT's lightweight attention (Guo et al. 2022, https://arxiv.org/abs/2107.06263, equations 2 and 3). Deviations:
    means instead of strided depth-wise convolutions, as in PVT v2 (Wang et al. 2022, https://arxiv.org/abs/2106.13797),
    so that a map of any size can be divided; no position bias, which the block's position convolution replaces.

    Args:
        context: channels and dropout.
        heads: attention heads.
        ratio: voxels of a box: one integer, or three along (D, H, W).

    Raises:
        ValueError: `heads` does not divide the channels, or `ratio` is neither one nor three positive integers.
    """

    def __init__(self, context: BlockContext, *, heads: int, ratio: int | Sequence[int] = 2) -> None:
        super().__init__()
        channels = context.channels
        self.heads = divisor(heads, channels, "heads")
        self.ratio = triple(ratio, "ratio")
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.projection = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(context.dropout)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(to_tokens(x))
        pooling: dict[str, Any] = {"ceil_mode": True, "count_include_pad": False}
        box = each_axis(min, self.ratio, x.shape[2:])
        coarse = to_tokens(functional.avg_pool3d(to_map(tokens), box, **pooling))
        query = self.split_heads(self.query(tokens))  # (B, h, N, C / h)
        key, value = (self.split_heads(part) for part in self.key_value(coarse).chunk(2, dim=-1))
        mixed = functional.scaled_dot_product_attention(query, key, value)
        mixed = torch.cat(mixed.unbind(1), dim=-1).view(tokens.shape)  # (B, D, H, W, C)
        return to_map(self.dropout(self.projection(mixed)))

    def split_heads(self, tokens: Tensor) -> Tensor:
        """Split tokens (B, D, H, W, C) into heads (B, h, N, C / h)."""
        return tokens.flatten(1, 3).unflatten(2, (self.heads, -1)).transpose(1, 2)
