"""A block of a stage, the feed-forward branch after attention, and the step down between stages.

Everything takes and gives (B, C, D, H, W).
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .config import Part, Triple, build
from .mixers import MIXERS


class FeedForward(nn.Module):
    """The inverted residual feed-forward branch: widen each voxel, look at its neighbours, narrow again.

    CMT (Guo et al. 2022, https://arxiv.org/abs/2107.06263, equation 5). Deviations: layer normalisation before, as in
    Swin, in place of batch normalisation within; the 1x1x1 convolutions are matrix products over the voxels, faster
    at few channels.

    Args:
        channels: channels in and out.
        expansion: channels within, as a multiple of `channels`.
    """

    def __init__(self, channels: int, expansion: int = 4) -> None:
        super().__init__()
        hidden = expansion * channels
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, hidden)
        self.depthwise = nn.Conv3d(hidden, hidden, 3, padding=1, groups=hidden)
        self.activation = nn.GELU()
        self.narrow = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.activation(self.widen(self.norm(rearrange(x, "b c d h w -> b d h w c"))))
        local = rearrange(tokens, "b d h w c -> b c d h w")
        tokens = rearrange(local + self.depthwise(local), "b c d h w -> b d h w c")
        return rearrange(self.narrow(self.activation(tokens)), "b d h w c -> b c d h w")


class Block(nn.Module):
    """`x + mixer(x)`; if the mixer leaves channels alone, `x + position(x)` before and `x + feed_forward(x)` after.

    `position` is a depth-wise 3x3x3 convolution: CMT's local perception unit (equation 1), which tells a voxel where
    it is among its neighbours, across the borders of the windows.

    Args:
        channels: channels in and out.
        mixer: name of the mixer, or a mapping of `name` and its options.
        index: the block's index within its stage.
    """

    def __init__(self, channels: int, mixer: Part, index: int) -> None:
        super().__init__()
        self.mixer = build(mixer, MIXERS, "mixers", channels, index)
        self.position = None
        self.feed_forward = None
        if not self.mixer.mixes_channels:
            self.position = nn.Conv3d(channels, channels, 3, padding=1, groups=channels)
            self.feed_forward = FeedForward(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.position is None else x + self.position(x)
        x = x + self.mixer(x)
        return x if self.feed_forward is None else x + self.feed_forward(x)


class Stage(nn.Module):
    """A strided convolution down, then `depth` blocks.

    Args:
        in_channels: channels of the stage above.
        channels: channels of this stage.
        stride: downsampling along (D, H, W), in voxels.
        depth: how many blocks.
        mixer: name of the mixer, or a mapping of `name` and its options.
        checkpointing: in training, recompute each block in the backward pass instead of keeping its activations.
    """

    def __init__(
        self, in_channels: int, channels: int, *, stride: Triple, depth: int, mixer: Part, checkpointing: bool
    ) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv3d(in_channels, channels, 3, stride=stride, padding=1, bias=False),
            nn.InstanceNorm3d(channels, affine=True),
        )
        self.blocks = nn.ModuleList(Block(channels, mixer, index) for index in range(depth))
        self.checkpointing = checkpointing

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        for block in self.blocks:
            if self.checkpointing and self.training and torch.is_grad_enabled():
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        return x
