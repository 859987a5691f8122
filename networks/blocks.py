"""A block of a stage, the feed-forward branch after attention, and the step down between stages.

Everything takes and gives (B, C, D, H, W).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from monai.networks.layers import DropPath
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .feed_forward import FEED_FORWARDS
from .layers.convolutions import DepthwiseConv, conv
from .layers.norms import InstanceNorm
from .mixers import MIXERS
from .registry import Part, build
from .validation import Triple, divisor


class Down(nn.Sequential):
    """A strided convolution and instance normalisation: patch merging that sees across the borders of its patches.

    CMT (Guo et al. 2022, https://arxiv.org/abs/2107.06263, section 3.1).

    Args:
        in_channels: channels in.
        channels: channels out.
        kernel: voxels of the kernel.
        stride: downsampling along (D, H, W), in voxels.
        groups: the convolution mixes the channels of a group only.

    Raises:
        ValueError: `groups` does not divide the channels in and out.
    """

    def __init__(self, in_channels: int, channels: int, *, kernel: Triple, stride: Triple, groups: int = 1) -> None:
        divisor(groups, in_channels, "groups")
        divisor(groups, channels, "groups")
        super().__init__(conv(in_channels, channels, kernel, stride=stride, groups=groups), InstanceNorm(channels))


class GroupedDown(Down):
    """The same in groups of channels, four unless told."""

    def __init__(self, in_channels: int, channels: int, *, kernel: Triple, stride: Triple, groups: int = 4) -> None:
        super().__init__(in_channels, channels, kernel=kernel, stride=stride, groups=groups)


DOWNSAMPLINGS: Mapping[str, type[nn.Module]] = {"conv": Down, "grouped": GroupedDown}


class Block(nn.Module):
    """`x + mixer(x)`; if the mixer leaves channels alone, `x + position(x)` before and `x + feed_forward(x)` after.

    `position` is a depth-wise convolution: CMT's local perception unit (equation 1), which tells a voxel where it is
    among its neighbours, across the borders of the windows. With `layer_scale` the mixer's and the feed-forward
    branch are multiplied by a learned number for each channel, which begins there (CaiT, Touvron et al. 2021,
    https://arxiv.org/abs/2103.17239, equation 5).

    Args:
        channels: channels in and out.
        mixer: one of `MIXERS`.
        index: the block's index among those of its stage with this mixer.
        kernel: voxels of the kernels.
        feed_forward: one of `FEED_FORWARDS`.
        drop_path: probability, in training, to leave out the branches.
        dropout: of the branches, where they have one.
        layer_scale: where the factors of the two branches begin; 0 for no factors.
    """

    def __init__(
        self,
        channels: int,
        mixer: Part,
        index: int,
        *,
        kernel: Triple,
        feed_forward: Part,
        drop_path: float,
        dropout: float,
        layer_scale: float = 0.0,
    ) -> None:
        super().__init__()
        self.mixer = build(mixer, MIXERS, "mixers", channels, index, kernel=kernel, dropout=dropout)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.position = None
        self.feed_forward = None
        self.scales = None
        if not getattr(self.mixer, "mixes_channels", False):
            self.position = DepthwiseConv(channels, kernel)
            self.feed_forward = build(
                feed_forward, FEED_FORWARDS, "feed_forward", channels, kernel=kernel, dropout=dropout
            )
            if layer_scale:
                self.scales = nn.Parameter(torch.full((2, channels, 1, 1, 1), float(layer_scale)))

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.position is None else x + self.position(x)
        x = self.add(x, 0, self.mixer)
        return x if self.feed_forward is None else self.add(x, 1, self.feed_forward)

    def add(self, x: Tensor, number: int, branch: nn.Module) -> Tensor:
        """Add to `x` what a branch makes of it."""
        change = branch(x) if self.scales is None else self.scales[number] * branch(x)
        return x + self.drop_path(change)


class Stage(nn.Module):
    """A step down, then blocks.

    Args:
        down: from the stage above to this one.
        blocks: of this stage.
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
