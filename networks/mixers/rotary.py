"""Attention among all voxels of a map that tells places apart by rotating queries and keys.

B  items         C  channels
N  voxels        h  heads
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hybridseg.networks.validation import Triple

from .global_attention import GlobalMixer
from .window_grid import kept, voxel_positions

SLOWEST = 0.01
"""Radians a voxel that the speeds of an axis fall towards."""


class RotaryMixer(GlobalMixer):
    """Multi-head attention among all voxels of the map, with axial rotary positions.

    The rotary embedding of RoFormer (Su et al. 2021, https://arxiv.org/abs/2104.09864, equation 34), a third of a
    head's pairs of channels rotated by the place along each axis, as in Primus (Wald et al. 2025,
    https://arxiv.org/abs/2503.01835). Deviations: speeds fall towards a hundredth of a radian a voxel in place of a
    ten-thousandth, as a map has few voxels along an axis; and a pair is a channel of a head's first half and one of its
    second, not two neighbours. It has no table, so a map may have any size, and no bias, so where torch has
    fused attention memory grows with the voxels and not with their square.

    Args:
        channels: channels in and out.
        index: the block's index among those of its stage with this mixer; all are alike.
        options: those of `GlobalMixer`.

    Raises:
        ValueError: `heads` does not divide `channels` into heads of an even number of channels, six at least.
    """

    def __init__(self, channels: int, index: int = 0, **options: Any) -> None:
        super().__init__(channels, index, **options)
        self.pairs, odd = divmod(channels // self.heads, 2)
        if odd or self.pairs < 3:
            found = f"heads: {self.heads}: of {channels // self.heads} channels"
            raise ValueError(f"{found}: must be of an even number of them, at least 6")

    def attend(self, query: Tensor, key: Tensor, value: Tensor, size: Triple) -> Tensor:
        rotation = axial_rotation(size, self.pairs, query.device).to(query.dtype)
        return functional.scaled_dot_product_attention(rotate(query, rotation), rotate(key, rotation), value)


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
