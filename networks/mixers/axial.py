"""Attention along lines of voxels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hybridseg.networks.layers.layout import to_map, to_tokens
from hybridseg.networks.validation import divisor

from .base import BlockContext, Mixer
from .projections import project


class AxialMixer(Mixer):
    """Multi-head attention along the lines of the map: a third of the heads along each axis.

    Axial attention (Ho et al. 2019, https://arxiv.org/abs/1912.12180), with the axes in parallel as the stripes of
    CSWin have them (Dong et al. 2022, https://arxiv.org/abs/2107.00652, equation 2). A voxel reaches
    every other one in three blocks. No position bias, which the block's position convolution replaces.

    Args:
        context: channels, dropout, and the kernel of a depth-wise projection.
        heads: attention heads, a multiple of 3.
        projection: one of `PROJECTIONS`.

    Raises:
        ValueError: 3 does not divide `heads`, or `heads` does not divide the channels.
    """

    def __init__(self, context: BlockContext, *, heads: int, projection: str = "linear") -> None:
        super().__init__()
        divisor(3, heads, "axes")
        self.heads = divisor(heads, context.channels, "heads")
        self.norm = nn.LayerNorm(context.channels)
        self.query_key_value = project(projection, context)
        self.projection = nn.Linear(context.channels, context.channels)
        self.dropout = nn.Dropout(context.dropout)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.query_key_value(self.norm(to_tokens(x))).unflatten(-1, (3, self.heads, -1))
        along = [self.attend(part, axis) for axis, part in enumerate(tokens.chunk(3, dim=-2), start=1)]
        return to_map(self.dropout(self.projection(torch.cat(along, dim=-1))))

    @staticmethod
    def attend(tokens: Tensor, axis: int) -> Tensor:
        """Return what each voxel receives along an axis.

        Args:
            tokens: queries, keys and values of some heads (B, D, H, W, 3, h, C / h).
            axis: 1, 2 or 3.

        Returns:
            Tokens (B, D, H, W, h * C / h).
        """
        query, key, value = tokens.movedim(axis, -2).unbind(3)  # (B, two axes, h, length, C / h) each
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return mixed.movedim(-2, axis).flatten(-2)
