"""How queries, keys and values of attention are projected from the voxels."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from hybridseg.networks.layers.convolutions import DepthwiseConv
from hybridseg.networks.layers.layout import to_map, to_tokens
from hybridseg.networks.registry import build
from hybridseg.networks.validation import Triple


class LinearProjection(nn.Linear):
    """Queries, keys and values of each voxel by itself: (B, D, H, W, C) to (B, D, H, W, 3 C).

    Args:
        channels: channels of a voxel.
        kernel: of no use here.
    """

    def __init__(self, channels: int, *, kernel: Triple) -> None:
        super().__init__(channels, 3 * channels)


class DepthwiseProjection(nn.Module):
    """Queries, keys and values that have seen the neighbours of each voxel: (B, D, H, W, C) to (B, D, H, W, 3 C).

    The convolutional projection of CvT (Wu et al. 2021, https://arxiv.org/abs/2103.15808, equation 2). Deviation: one
    depth-wise convolution, added to its input, serves all three.

    Args:
        channels: channels of a voxel.
        kernel: voxels of the kernel.
    """

    def __init__(self, channels: int, *, kernel: Triple) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv(channels, kernel)
        self.linear = nn.Linear(channels, 3 * channels)

    def forward(self, tokens: Tensor) -> Tensor:
        local = self.depthwise(to_map(tokens))
        return self.linear(tokens + to_tokens(local))


PROJECTIONS: Mapping[str, type[nn.Module]] = {"linear": LinearProjection, "depthwise": DepthwiseProjection}


def project(name: str, channels: int, kernel: Triple) -> nn.Module:
    """The projection of a mixer by the name in its options."""
    return build(name, PROJECTIONS, "projection", channels, kernel=kernel)
