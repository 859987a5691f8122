"""A stage of the encoder: downsampling, then blocks. Every module maps (B, C, D, H, W) to a map of these axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from monai.networks.layers import DropPath
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .feed_forward import FEED_FORWARDS
from .layers.convolutions import DepthwiseConv, conv
from .layers.norms import InstanceNorm
from .mixers import MIXERS, BlockContext, Mixer
from .registry import Part, build
from .validation import Triple, divisor


class Down(nn.Sequential):
    """A strided convolution and instance normalisation: patch merging with overlapping patches.

    CMT (Guo et al. 2022, https://arxiv.org/abs/2107.06263, section 3.1).

    Every downsampling takes channels in and out, kernel and stride, and, by keyword, its own options.

    Args:
        in_channels: channels in.
        channels: channels out.
        kernel: voxels of the kernel.
        stride: downsampling along (D, H, W), in voxels.
        groups: groups of the convolution.

    Raises:
        ValueError: `groups` does not divide the channels in and out.
    """

    def __init__(self, in_channels: int, channels: int, kernel: Triple, stride: Triple, *, groups: int = 1) -> None:
        divisor(groups, in_channels, "groups")
        divisor(groups, channels, "groups")
        super().__init__(conv(in_channels, channels, kernel, stride=stride, groups=groups), InstanceNorm(channels))


class GroupedDown(Down):
    """A grouped strided convolution and instance normalisation: `Down` with four groups by default."""

    def __init__(self, in_channels: int, channels: int, kernel: Triple, stride: Triple, *, groups: int = 4) -> None:
        super().__init__(in_channels, channels, kernel, stride, groups=groups)


DOWNSAMPLINGS: Mapping[str, type[Down]] = {"conv": Down, "grouped": GroupedDown}


class Block(nn.Module):
    """`x + mixer(x)`; if the mixer does not mix channels, `x + position(x)` before and `x + feed_forward(x)` after.

    `position` is a depth-wise convolution: CMT's local perception unit (equation 1), which encodes a voxel's position
    among its neighbours, across the borders of the windows. With `layer_scale` a learned factor per channel, which
    starts at that value, multiplies the mixer and the feed-forward branch (CaiT, Touvron et al. 2021,
    https://arxiv.org/abs/2103.17239, equation 5).

    Args:
        context: passed to the mixer and the feed-forward branch.
        mixer: one of `MIXERS`.
        feed_forward: one of `FEED_FORWARDS`.
        drop_path: probability, in training, to leave out the branches.
        layer_scale: initial value of the factors of the two branches; 0 for no factors.
    """

    def __init__(
        self, context: BlockContext, mixer: Part, feed_forward: Part, *, drop_path: float, layer_scale: float = 0.0
    ) -> None:
        super().__init__()
        self.mixer = build(mixer, MIXERS, Mixer, "mixers", context)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.position = None
        self.feed_forward = None
        self.scales = None
        if not self.mixer.mixes_channels:
            self.position = DepthwiseConv(context.channels, context.kernel)
            self.feed_forward = build(feed_forward, FEED_FORWARDS, nn.Module, "feed_forward", context)
            if layer_scale:
                self.scales = nn.Parameter(torch.full((2, context.channels, 1, 1, 1), float(layer_scale)))

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.position is None else x + self.position(x)
        x = self.add(x, 0, self.mixer)
        return x if self.feed_forward is None else self.add(x, 1, self.feed_forward)

    def add(self, x: Tensor, number: int, branch: nn.Module) -> Tensor:
        """Add a branch, scaled by its factors, to `x`."""
        change = branch(x) if self.scales is None else self.scales[number] * branch(x)
        return x + self.drop_path(change)


class Stage(nn.Module):
    """Downsampling, then blocks.

    Args:
        down: downsampling from the stage before to this one.
        blocks: the blocks of this stage.
        checkpointing: in training, recompute each block in the backward pass instead of keeping its activations.
    """

    def __init__(self, down: nn.Module, blocks: Sequence[nn.Module], checkpointing: bool) -> None:
        super().__init__()
        self.down = down
        self.blocks = nn.ModuleList(blocks)
        self.checkpointing = checkpointing

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        for block in self.blocks:
            if self.checkpointing and self.training and torch.is_grad_enabled():
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        return x
