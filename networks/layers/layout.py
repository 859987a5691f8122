"""The two orders of a feature map's axes: a map, as convolutions take it, and tokens, as linear layers and norms do.

    map      (B, C, D, H, W)
    tokens   (B, D, H, W, C), the channels of a voxel side by side

Both moves are views. A map whose channels lie next to each other in memory (`torch.channels_last_3d`) gives contiguous
tokens, and contiguous tokens give such a map.
"""

from __future__ import annotations

from torch import Tensor


def to_tokens(x: Tensor) -> Tensor:
    """A map (B, C, D, H, W) as tokens (B, D, H, W, C)."""
    return x.permute(0, 2, 3, 4, 1)


def to_map(tokens: Tensor) -> Tensor:
    """Tokens (B, D, H, W, C) as a map (B, C, D, H, W): the inverse of `to_tokens`."""
    return tokens.permute(0, 4, 1, 2, 3)
