"""The windowed mixer: multi-head attention within 3D shifted windows.

B  batch items    C  channels    D, H, W  voxels of the map
M  windows        h  heads       N        voxels of a window
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hybridseg.networks.layers.layout import to_map, to_tokens
from hybridseg.networks.validation import Triple, divisor, not_negative, triple

from .base import BlockContext, Mixer
from .projections import project
from .window_grid import WindowGrid, attention_mask, offset_distances, relative_offset, window_grid

MIN_LENGTH = 1e-6
"""Vectors shorter than this are not normalised to length 1: padding has length 0. float16 can represent it."""


class WindowMixer(Mixer):
    """Multi-head attention within 3D windows, shifted in every second block, with a learned relative position bias.

    Swin (Liu et al. 2021, https://arxiv.org/abs/2103.14030, equations 3 and 4) in three dimensions. Deviations:
    windows are balanced to the map, and the bias is looked up by the offset between query and key, which is right for
    windows of any size.

    Args:
        context: channels, dropout, the kernel of a depth-wise projection, and the index: odd blocks are shifted by
            half a window.
        heads: attention heads.
        window: voxels of the largest window: one integer, or three along (D, H, W).
        projection: one of `PROJECTIONS`.
        similarity: of queries and keys: their `product`, or the `cosine` of the angle between them times a learned
            factor per head (Swin V2, Liu et al. 2022, https://arxiv.org/abs/2111.09883, equation 2; the factor starts
            at 10 as there, but is learned directly, not as a logarithm, and has no upper limit).
        locality: how much the bias initially falls per voxel of distance in the first head; each further head starts
            with half of that (after ALiBi, Press et al. 2022, https://arxiv.org/abs/2108.12409).

    Raises:
        ValueError: `heads` does not divide the channels, `window` is neither one nor three positive integers,
            `similarity` is unknown, or `locality` is negative.
    """

    def __init__(
        self,
        context: BlockContext,
        *,
        heads: int,
        window: int | Sequence[int] = 6,
        projection: str = "linear",
        similarity: str = "product",
        locality: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads = divisor(heads, context.channels, "heads")
        self.window = triple(window, "window")
        if similarity not in ("product", "cosine"):
            raise ValueError(f"similarity: {similarity!r}: must be product or cosine")
        self.temperature = nn.Parameter(torch.full((heads, 1, 1), 10.0)) if similarity == "cosine" else None
        self.shifted = context.index % 2 == 1
        self.norm = nn.LayerNorm(context.channels)
        self.query_key_value = project(projection, context)
        self.projection = nn.Linear(context.channels, context.channels)
        self.dropout = nn.Dropout(context.dropout)
        slopes = not_negative(locality, "locality") * 0.5 ** torch.arange(heads)
        distances = offset_distances(self.window)
        self.bias_table = nn.Parameter(0.02 * torch.randn(heads, len(distances)) - slopes[:, None] * distances)

    def forward(self, x: Tensor) -> Tensor:
        depth, height, width = x.shape[2:]
        grid = self.windows((depth, height, width))
        tokens = self.query_key_value(self.norm(to_tokens(x)))  # (B, D, H, W, 3 C)
        query, key, value = self.split_heads(grid.partition(tokens))  # (B, M, h, N, C / h) each
        bias = self.relative_bias(grid.window, x.dtype)  # (h, N, N)
        mixed = self.attend(query, key, value, bias, attention_mask(grid, x.device))  # (B, M, h, N, C / h)
        tokens = grid.merge(torch.cat(mixed.unbind(2), dim=-1))  # (B, M, N, C) to (B, D, H, W, C)
        return to_map(self.dropout(self.projection(tokens)))

    def windows(self, size: Triple) -> WindowGrid:
        return window_grid(size, self.window, self.shifted)

    def split_heads(self, windows: Tensor) -> tuple[Tensor, ...]:
        """Split windows (B, M, N, 3 C) into the queries, keys and values of each head, (B, M, h, N, C / h) each."""
        return windows.unflatten(3, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5).unbind()

    def attend(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, mask: Tensor | None) -> Tensor:
        """Return what each query receives from the keys of its window: (B, M, h, N, C / h), as all three.

        Args:
            query: of each voxel.
            key: of each voxel.
            value: of each voxel.
            bias: (h, N, N), added to the similarities of every window.
            mask: (M, N, N), which keys a query may attend to; None for all.
        """
        windows, scale = query.shape[1], None  # None: one over the square root of C / h
        if self.temperature is not None:
            query = functional.normalize(query, dim=-1, eps=MIN_LENGTH) * self.temperature.to(query.dtype)
            key, scale = functional.normalize(key, dim=-1, eps=MIN_LENGTH), 1.0
        if mask is None:  # all windows share one bias: they are batch items
            query, key, value = (part.flatten(0, 1) for part in (query, key, value))  # (B M, h, N, C / h)
            mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias[None], scale=scale)
            return mixed.unflatten(0, (-1, windows))
        # Each window has its own mask: windows are heads.
        query, key, value = (part.flatten(1, 2) for part in (query, key, value))  # (B, M h, N, C / h)
        bias = bias.masked_fill(~mask[:, None], -torch.inf).flatten(0, 1)  # (M h, N, N)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias[None], scale=scale)
        return mixed.unflatten(1, (-1, self.heads))

    def relative_bias(self, window: Triple, dtype: torch.dtype) -> Tensor:
        """Return the bias (h, N, N) between each query and key of a window of `window` voxels."""
        index = relative_offset(window, self.window, self.bias_table.device)
        size = window[0] * window[1] * window[2]
        return self.bias_table.index_select(1, index).view(-1, size, size).to(dtype)
