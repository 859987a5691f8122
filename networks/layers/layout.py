"""The two layouts of features: a map for convolutions, tokens for linear layers and layer normalisation.

    map      (B, C, D, H, W)
    tokens   (B, D, H, W, C)

Both conversions return views. A map in `torch.channels_last_3d` becomes contiguous tokens, and contiguous tokens become
such a map.
"""

from __future__ import annotations

from torch import Tensor


def to_tokens(x: Tensor) -> Tensor:
    """View a map (B, C, D, H, W) as tokens (B, D, H, W, C)."""
    return x.permute(0, 2, 3, 4, 1)


def to_map(tokens: Tensor) -> Tensor:
    """View tokens (B, D, H, W, C) as a map (B, C, D, H, W): the inverse of `to_tokens`."""
    return tokens.permute(0, 4, 1, 2, 3)
