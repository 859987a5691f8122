"""Average pooling instead of attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hybridseg.networks.layers.layout import to_map, to_tokens

from .base import BlockContext, Mixer


class PoolingMixer(Mixer):
    """The mean of a voxel and its neighbours, minus the voxel.

    The pooling of MetaFormer (Yu et al. 2022, https://arxiv.org/abs/2111.11418, equation 4), over the voxels of the
    kernel that lie in the map. Deviation: layer normalisation of each voxel. It is the least that mixes voxels at all.

    Args:
        context: channels and kernel.
    """

    def __init__(self, context: BlockContext) -> None:
        super().__init__()
        self.kernel = context.kernel
        self.norm = nn.LayerNorm(context.channels, bias=False)  # the difference of two voxels has none

    def forward(self, x: Tensor) -> Tensor:
        x = to_map(self.norm(to_tokens(x)))
        return self.sum(x) / self.sum(torch.ones_like(x[:1, :1])) - x

    def sum(self, x: Tensor) -> Tensor:
        """Return the sum over the kernel around each voxel; beyond the map is 0."""
        padding = [half for entry in reversed(self.kernel) for half in (entry // 2, entry // 2)]
        return functional.avg_pool3d(functional.pad(x, padding), self.kernel, stride=1, divisor_override=1)
