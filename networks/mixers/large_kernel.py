"""A depth-wise convolution with a large kernel."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from hybridseg.networks.layers.convolutions import DepthwiseConv
from hybridseg.networks.layers.norms import InstanceNorm

from .base import BlockContext, Mixer


class LargeKernelMixer(Mixer):
    """A depth-wise convolution with a large kernel, after normalisation.

    The first layer of a block of ConvNeXt (Liu et al. 2022, https://arxiv.org/abs/2201.03545, figure 4), in three
    dimensions as in MedNeXt (Roy et al. 2023, https://arxiv.org/abs/2303.09975, section 2.1). Deviations: the
    normalisation comes first; the feed-forward branch that follows is the network's, with its own residual.

    Args:
        context: channels, and the kernel: along axes where it has one voxel, so has the large one.
        extent: voxels of the large kernel: one odd integer, or three along (D, H, W).

    Raises:
        ValueError: `extent` is neither.
    """

    def __init__(self, context: BlockContext, *, extent: int | Sequence[int] = 5) -> None:
        super().__init__()
        self.norm = InstanceNorm(context.channels)
        self.depthwise = DepthwiseConv(context.channels, context.wide_kernel(extent))

    def forward(self, x: Tensor) -> Tensor:
        return self.depthwise(self.norm(x))
