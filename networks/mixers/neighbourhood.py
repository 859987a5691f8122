"""Attention of each voxel to its own neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional

from hybridseg.networks.layers.layout import to_map, to_tokens
from hybridseg.networks.validation import divisor, each_axis, positive

from .base import BlockContext, Mixer
from .projections import project


class NeighbourhoodMixer(Mixer):
    """Multi-head attention of each voxel to the voxels of a box around it, dilated in every second block.

    Dilated neighbourhood attention (Hassani and Shi 2022, https://arxiv.org/abs/2209.15001, equations 2 to 5), which
    MedViTV2 uses, with a learned bias for each neighbour. Deviation: at the border a voxel has fewer neighbours, not
    farther ones. Written as a loop over neighbours, so memory grows with voxels times neighbours.

    Args:
        context: channels, dropout, the kernel (along axes where it has one voxel, so has the box), and the index: odd
            blocks are dilated.
        heads: attention heads.
        extent: voxels of the box: one odd integer, or three along (D, H, W).
        dilation: distance between the neighbours in odd blocks, in voxels.
        projection: one of `PROJECTIONS`.

    Raises:
        ValueError: `heads` does not divide the channels, `extent` is neither one nor three odd integers, or `dilation`
            is not a positive integer.
    """

    def __init__(
        self,
        context: BlockContext,
        *,
        heads: int,
        extent: int | Sequence[int] = 3,
        dilation: int = 2,
        projection: str = "linear",
    ) -> None:
        super().__init__()
        self.heads = divisor(heads, context.channels, "heads")
        reach = each_axis(lambda entry: entry // 2, context.wide_kernel(extent))
        step = positive(dilation, "dilation") if context.index % 2 == 1 else 1
        self.margin = each_axis(lambda entry: entry * step, reach)
        self.offsets = list(product(*(range(0, 2 * entry * step + 1, step) for entry in reach)))
        self.norm = nn.LayerNorm(context.channels)
        self.query_key_value = project(projection, context)
        self.bias = nn.Parameter(0.02 * torch.randn(len(self.offsets), heads))
        self.projection = nn.Linear(context.channels, context.channels)
        self.dropout = nn.Dropout(context.dropout)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.query_key_value(self.norm(to_tokens(x)))  # (B, D, H, W, 3 C)
        query, key, value = tokens.unflatten(-1, (3, self.heads, -1)).unbind(-3)  # (B, D, H, W, h, C / h) each
        inside = torch.ones_like(x[:1, :1]).movedim(1, -1)  # (1, D, H, W, 1)
        keys, values, insides = (self.neighbours(part) for part in (key, value, inside))
        scores = torch.stack([(query * near).sum(-1) for near in keys])  # (neighbours, B, D, H, W, h)
        scores = scores / math.sqrt(key.shape[-1]) + self.bias.view(-1, 1, 1, 1, 1, self.heads)
        weights = scores.masked_fill(torch.stack(insides) == 0, -torch.inf).softmax(dim=0).to(value.dtype)
        parts = (weight[..., None] * near for weight, near in zip(weights, values, strict=True))
        mixed = sum(parts, torch.zeros_like(value))
        return to_map(self.dropout(self.projection(mixed.flatten(-2))))

    def neighbours(self, tokens: Tensor) -> list[Tensor]:
        """Return for each offset the neighbour of every voxel of (B, D, H, W, ...), 0 beyond the border."""
        depth, height, width = tokens.shape[1:4]
        padding = [entry for margin in reversed(self.margin) for entry in (margin, margin)]
        padded = functional.pad(tokens, [0, 0] * (tokens.ndim - 4) + padding)
        return [padded[:, i : i + depth, j : j + height, k : k + width] for i, j, k in self.offsets]
