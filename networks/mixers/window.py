"""The windowed mixer: multi-head attention within 3D shifted windows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hybridseg.networks.layers.layout import to_map, to_tokens
from hybridseg.networks.validation import Triple, divisor, not_negative, triple

from .projections import project
from .window_grid import attention_mask, offset_distances, relative_offset, window_grid

SHORTEST = 1e-6
"""Length below which a vector is not brought to length 1; float16 has it, and padding has length 0."""


class WindowMixer(nn.Module):
    """Multi-head attention within 3D windows, shifted in every second block, with a learned relative position bias.

    Swin (Liu et al. 2021, https://arxiv.org/abs/2103.14030, equations 3 and 4) in three dimensions. Deviations:
    windows are balanced to the map, and the bias is looked up by the offset between query and key, which is right for
    windows of any size.

    Args:
        channels: channels in and out.
        index: the block's index among those of its stage with this mixer; odd blocks are shifted by half a window.
        kernel: voxels of the kernel of a depth-wise projection.
        dropout: probability to zero an entry of the result.
        heads: attention heads.
        window: voxels of the largest window: one integer, or three along (D, H, W).
        projection: one of `PROJECTIONS`.
        similarity: of queries and keys: their `product`, or the `cosine` of the angle between them times a learned
            number for each head (Swin V2, Liu et al. 2022, https://arxiv.org/abs/2111.09883, equation 2; that number
            begins at 10 as there, but is learned as it is, not by its logarithm, and has no upper limit).
        locality: how much the bias begins to fall with each voxel of distance in the first head; in each further head
            it is half of that (after ALiBi, Press et al. 2022, https://arxiv.org/abs/2108.12409).

    Raises:
        ValueError: `heads` does not divide `channels`, `window` is neither one nor three positive integers,
            `similarity` is neither of the two, or `locality` is negative.
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
        window: int | Sequence[int] = 6,
        projection: str = "linear",
        similarity: str = "product",
        locality: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads = divisor(heads, channels, "heads")
        self.window = triple(window, "window")
        if similarity not in ("product", "cosine"):
            raise ValueError(f"similarity: {similarity!r}: must be product or cosine")
        self.temperature = nn.Parameter(torch.full((heads, 1, 1), 10.0)) if similarity == "cosine" else None
        self.shifted = index % 2 == 1
        self.norm = nn.LayerNorm(channels)
        self.query_key_value = project(projection, channels, kernel)
        self.projection = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)
        slopes = not_negative(locality, "locality") * 0.5 ** torch.arange(heads)
        distances = offset_distances(self.window)
        self.bias_table = nn.Parameter(0.02 * torch.randn(heads, len(distances)) - slopes[:, None] * distances)

    def forward(self, x: Tensor) -> Tensor:
        depth, height, width = x.shape[2:]
        grid = window_grid((depth, height, width), self.window, self.shifted)
        windows = grid.partition(self.query_key_value(self.norm(to_tokens(x))))
        triples = windows.unflatten(3, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5)  # (3, B, M, heads, N, C / heads)
        mask = attention_mask(grid, x.device)
        query, key, value = triples.unbind()
        scale = None  # one over the square root of C / heads
        if self.temperature is not None:
            query = functional.normalize(query, dim=-1, eps=SHORTEST) * self.temperature.to(query.dtype)
            key, scale = functional.normalize(key, dim=-1, eps=SHORTEST), 1.0
        bias = self.relative_bias(grid.window, x.dtype)  # (heads, N, N)
        if mask is None:  # one bias serves every window: windows go with the batch
            query, key, value = (part.flatten(0, 1) for part in (query, key, value))
            mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias[None], scale=scale)
            mixed = mixed.unflatten(0, (-1, triples.shape[2]))
        else:  # every window has a mask of its own: windows go with the heads
            query, key, value = (part.flatten(1, 2) for part in (query, key, value))
            bias = bias.masked_fill(~mask[:, None], -torch.inf).flatten(0, 1)  # (M heads, N, N)
            mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias[None], scale=scale)
            mixed = mixed.unflatten(1, (-1, self.heads))
        tokens = grid.merge(torch.cat(mixed.unbind(2), dim=-1))  # heads side by side: (B, M, N, C) to (B, D, H, W, C)
        return to_map(self.dropout(self.projection(tokens)))

    def relative_bias(self, window: Triple, dtype: torch.dtype) -> Tensor:
        """The bias (heads, N, N) between each query and key of a window of `window` voxels."""
        index = relative_offset(window, self.window, self.bias_table.device)
        size = window[0] * window[1] * window[2]
        return self.bias_table.index_select(1, index).view(-1, size, size).to(dtype)
