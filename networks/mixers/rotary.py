"""Attention among all voxels of a map, with positions encoded by rotating queries and keys.

B  batch items    C  channels
N  voxels         h  heads
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hybridseg.networks.validation import Triple

from .base import BlockContext
from .global_attention import GlobalMixer
from .window_grid import cache_outside_graphs, voxel_positions

SLOWEST = 0.01
"""Radians per voxel towards which the speeds along an axis fall."""


class RotaryMixer(GlobalMixer):
    """Multi-head attention among all voxels of the map, with axial rotary positions.

    The rotary embedding of RoFormer (Su et al. 2021, https://arxiv.org/abs/2104.09864, equation 34); the position along
    each axis rotates a third of a head's pairs of channels, as in Primus (Wald et al. 2025,
    https://arxiv.org/abs/2503.01835). Deviations: speeds fall towards a hundredth of a radian per voxel instead of a
    ten-thousandth, as a map has few voxels along an axis; and a pair joins a channel of a head's first half with one of
    its second, not two neighbours. Without a table a map may have any size; without a bias, memory grows linearly with
    the number of voxels wherever torch has fused attention.

    Args:
        context: channels, dropout, and the kernel of a depth-wise projection.
        options: those of `GlobalMixer`.

    Raises:
        ValueError: `heads` does not divide the channels, or a head has an odd number of channels or fewer than six.
    """

    def __init__(self, context: BlockContext, **options: Any) -> None:
        super().__init__(context, **options)
        channels = context.channels // self.heads
        self.pairs, odd = divmod(channels, 2)
        if odd or self.pairs < 3:
            raise ValueError(f"heads: {self.heads}: {channels} channels each: must be an even number, at least 6")

    def attend(self, query: Tensor, key: Tensor, value: Tensor, size: Triple) -> Tensor:
        rotation = axial_rotation(size, self.pairs, query.device).to(query.dtype)
        return functional.scaled_dot_product_attention(rotate(query, rotation), rotate(key, rotation), value)


@cache_outside_graphs
def axial_rotation(size: Triple, pairs: int, device: torch.device) -> Tensor:
    """Return the cosine and sine (2, N, pairs) of the angle by which each pair of channels rotates at each voxel.

    The first pair of an axis rotates by a radian per voxel, each further one more slowly; pairs left over by three axes
    do not rotate.

    Args:
        size: voxels of the map along (D, H, W).
        pairs: pairs of channels in a head.
        device: device of the result.
    """
    with torch.inference_mode(False):
        each = pairs // 3
        speed = SLOWEST ** (torch.arange(each, device=device) / each)  # in radians per voxel
        angle = (voxel_positions(size, device)[:, :, None] * speed).flatten(1)
        angle = functional.pad(angle, (0, pairs - 3 * each))
        return torch.stack([angle.cos(), angle.sin()])


def rotate(heads: Tensor, rotation: Tensor) -> Tensor:
    """Rotate queries or keys (B, h, N, C / h): pair i is channel i of the first half and of the second."""
    cosine, sine = rotation
    first, second = heads.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)
