"""Attention along lines of voxels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from hybridseg.networks.validation import Triple, divisor

from .base import BlockContext
from .global_attention import GlobalMixer
from .window_grid import WindowGrid


class AxialMixer(GlobalMixer):
    """Multi-head attention along the lines of the map: a third of the heads along each axis.

    Axial attention (Ho et al. 2019, https://arxiv.org/abs/1912.12180), with the axes in parallel as the stripes of
    CSWin have them (Dong et al. 2022, https://arxiv.org/abs/2107.00652, equation 2). A voxel reaches every other one in
    three blocks. No position bias, which the block's position convolution replaces.

    Args:
        context: channels, dropout, and the kernel of a depth-wise projection.
        heads: attention heads, a multiple of 3.
        projection: one of `PROJECTIONS`.

    Raises:
        ValueError: 3 does not divide `heads`, or `heads` does not divide the channels.
    """

    def __init__(self, context: BlockContext, *, heads: int, projection: str = "linear") -> None:
        divisor(3, heads, "axes")
        super().__init__(context, heads=heads, projection=projection)

    def windows(self, size: Triple) -> WindowGrid | None:
        return None  # lines along three axes are no windows

    def attend(self, query: Tensor, key: Tensor, value: Tensor, size: Triple) -> Tensor:
        maps = torch.stack([query, key, value]).unflatten(3, size)  # (3, B, h, D, H, W, C / h)
        along = [self.attend_along(part, axis) for axis, part in enumerate(maps.chunk(3, dim=2), start=2)]
        return torch.cat(along, dim=1).flatten(2, 4)

    @staticmethod
    def attend_along(maps: Tensor, axis: int) -> Tensor:
        """Return what each voxel receives along an axis, for some heads.

        Args:
            maps: queries, keys and values (3, B, h, D, H, W, C / h).
            axis: of (B, h, D, H, W, C / h): 2, 3 or 4.

        Returns:
            A map (B, h, D, H, W, C / h).
        """
        query, key, value = maps.movedim(axis + 1, -2)  # (B, h, two axes, length, C / h) each
        return functional.scaled_dot_product_attention(query, key, value).movedim(-2, axis)
