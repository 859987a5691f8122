"""Attention among all voxels of a map that tells places apart by rotating queries and keys.

B  items         C  channels
N  voxels        h  heads
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .attention import heads_apart, project
from .config import Triple, divisor
from .layout import to_map, to_tokens
from .windows import kept, voxel_positions

SLOWEST = 0.01
"""Radians a voxel that the speeds of an axis fall towards."""


class RotaryMixer(nn.Module):
    """Multi-head attention among all voxels of the map, with axial rotary positions.

    The rotary embedding of RoFormer (Su et al. 2021, https://arxiv.org/abs/2104.09864, equation 34), a third of a
    head's pairs of channels rotated by the place along each axis, as in Primus (Wald et al. 2025,
    https://arxiv.org/abs/2503.01835). It has no table, so a map may have any size, and no bias, so where torch has
    fused attention memory grows with the voxels and not with their square.

    Args:
        channels: channels in and out.
        index: the block's index among those of its stage with this mixer; all are alike.
        kernel: voxels of the kernel of a depth-wise projection.
        dropout: probability to zero an entry of the result.
        heads: attention heads.
        projection: one of `PROJECTIONS`.

    Raises:
        ValueError: `heads` does not divide `channels` into heads of an even number of channels, six at least.
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
        self.size = channels // heads
        if self.size % 2 or self.size < 6:
            raise ValueError(f"heads: {heads}: of {self.size} channels: must be of an even number of them, at least 6")
        self.norm = nn.LayerNorm(channels)
        self.query_key_value = project(projection, channels, kernel)
        self.projection = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        depth, height, width = x.shape[2:]
        tokens = self.query_key_value(self.norm(to_tokens(x)))
        query, key, value = heads_apart(tokens, self.heads)
        rotation = axial_rotation((depth, height, width), self.size // 2, x.device).to(query.dtype)
        mixed = functional.scaled_dot_product_attention(rotate(query, rotation), rotate(key, rotation), value)
        tokens = torch.cat(mixed.unbind(1), dim=-1).unflatten(1, (depth, height, width))  # heads side by side
        return to_map(self.dropout(self.projection(tokens)))


@kept
def axial_rotation(size: Triple, pairs: int, device: torch.device) -> Tensor:
    """Cosine and sine (2, N, pairs) of the angle by which each pair of channels is rotated at each voxel.

    Of the pairs of an axis the first rotates by a radian a voxel, each further one more slowly; pairs that three axes
    leave over do not rotate.

    Args:
        size: voxels of the map along (D, H, W).
        pairs: of channels in a head.
        device: where the result lives.
    """
    with torch.inference_mode(False):
        each = pairs // 3
        speed = SLOWEST ** (torch.arange(each, device=device) / each)  # in radians a voxel
        angle = (voxel_positions(size, device)[:, :, None] * speed).flatten(1)
        angle = functional.pad(angle, (0, pairs - 3 * each))
        return torch.stack([angle.cos(), angle.sin()])


def rotate(heads: Tensor, rotation: Tensor) -> Tensor:
    """Rotate each pair of channels of queries or keys (B, h, N, C / h): a channel of the first half and its fellow."""
    cosine, sine = rotation
    first, second = heads.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)
