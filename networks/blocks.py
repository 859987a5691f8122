"""A block of a stage, the feed-forward branch after attention, and the step down between stages.

Everything takes and gives (B, C, D, H, W).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from monai.networks.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from .config import Part, Triple, build, divisor, positive
from .convolutions import DepthwiseConv, conv
from .layout import to_map, to_tokens
from .mixers import MIXERS
from .norms import InstanceNorm


class LinearFeedForward(nn.Module):
    """The feed-forward branch of a transformer: widen each voxel, narrow it again.

    Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762, equation 2), with layer normalisation before and GELU, as in
    Swin.

    Args:
        channels: channels in and out.
        kernel: of no use here.
        dropout: probability to zero an entry of the result.
        expansion: channels within, as a multiple of `channels`.
    """

    def __init__(self, channels: int, *, kernel: Triple = (3, 3, 3), dropout: float = 0.0, expansion: int = 4) -> None:
        super().__init__()
        hidden = positive(expansion, "expansion") * channels
        self.layers = nn.Sequential(
            nn.LayerNorm(channels),
            nn.Linear(channels, hidden),
            nn.GELU(),
            nn.Linear(hidden, channels),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        return to_map(self.layers(to_tokens(x)))


class DepthwiseFeedForward(nn.Module):
    """The inverted residual feed-forward branch: widen each voxel, look at its neighbours, narrow again.

    CMT (Guo et al. 2022, https://arxiv.org/abs/2107.06263, equation 5). Deviations: layer normalisation before, as in
    Swin, in place of batch normalisation within; the 1x1x1 convolutions are matrix products over the voxels, faster
    at few channels.

    Args:
        channels: channels in and out.
        kernel: voxels of the kernel.
        dropout: probability to zero an entry of the result.
        expansion: channels within, as a multiple of `channels`.
    """

    def __init__(self, channels: int, *, kernel: Triple = (3, 3, 3), dropout: float = 0.0, expansion: int = 4) -> None:
        super().__init__()
        hidden = positive(expansion, "expansion") * channels
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, hidden)
        self.depthwise = DepthwiseConv(hidden, kernel)
        self.activation = nn.GELU()
        self.narrow = nn.Linear(hidden, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.activation(self.widen(self.norm(to_tokens(x))))
        local = to_map(tokens)
        tokens = to_tokens(local + self.depthwise(local))
        return to_map(self.dropout(self.narrow(self.activation(tokens))))


class GatedFeedForward(nn.Module):
    """The feed-forward branch SwiGLU: widen each voxel twice, weigh the one by the other, narrow again.

    Shazeer 2020 (https://arxiv.org/abs/2002.05202, equation 6), with layer normalisation before. Deviation: biases.

    Args:
        channels: channels in and out.
        kernel: of no use here.
        dropout: probability to zero an entry of the result.
        expansion: channels within a branch of the same cost without a gate, as a multiple of `channels`; within this
            one are two thirds of them.
    """

    def __init__(self, channels: int, *, kernel: Triple = (3, 3, 3), dropout: float = 0.0, expansion: int = 4) -> None:
        super().__init__()
        hidden = 2 * positive(expansion, "expansion") * channels // 3
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, 2 * hidden)
        self.narrow = nn.Linear(hidden, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        gate, tokens = self.widen(self.norm(to_tokens(x))).chunk(2, dim=-1)
        return to_map(self.dropout(self.narrow(functional.silu(gate) * tokens)))


FEED_FORWARDS: Mapping[str, type[nn.Module]] = {
    "depthwise": DepthwiseFeedForward,
    "linear": LinearFeedForward,
    "gated": GatedFeedForward,
}


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
