"""Projections of voxels to the queries, keys and values of attention."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from hybridseg.networks.layers.convolutions import DepthwiseConv
from hybridseg.networks.layers.layout import to_map, to_tokens
from hybridseg.networks.registry import build

from .base import BlockContext


class LinearProjection(nn.Linear):
    """Project each voxel separately: (B, D, H, W, C) to (B, D, H, W, 3 C).

    Args:
        context: channels of a voxel.
    """

    def __init__(self, context: BlockContext) -> None:
        super().__init__(context.channels, 3 * context.channels)


class DepthwiseProjection(nn.Module):
    """Project each voxel together with its neighbours: (B, D, H, W, C) to (B, D, H, W, 3 C).

    The convolutional projection of CvT (Wu et al. 2021, https://arxiv.org/abs/2103.15808, equation 2). Deviation:
    queries, keys and values share one depth-wise convolution, which is added to its input.

    Args:
        context: channels of a voxel, and kernel.
    """

    def __init__(self, context: BlockContext) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv(context.channels, context.kernel)
        self.linear = nn.Linear(context.channels, 3 * context.channels)

    def forward(self, tokens: Tensor) -> Tensor:
        local = self.depthwise(to_map(tokens))
        return self.linear(tokens + to_tokens(local))


PROJECTIONS: Mapping[str, type[nn.Module]] = {"linear": LinearProjection, "depthwise": DepthwiseProjection}


def project(name: str, context: BlockContext) -> nn.Module:
    """Build the projection that a mixer's options name."""
    return build(name, PROJECTIONS, nn.Module, "projection", context)
