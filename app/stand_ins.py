"""What the ablation puts in the place of attention, to see what attention is worth; a config names it by its path."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hybridseg.networks.config import Triple
from hybridseg.networks.convolutions import DepthwiseConv
from hybridseg.networks.layout import to_map, to_tokens


class NoMixer(nn.Module):
    """Adds nothing; what follows it in the block stays.

    Args:
        channels: channels in and out.
        index: the block's index within its stage.
        options: whatever a mixer is given.
    """

    mixes_channels = False

    def __init__(self, channels: int, index: int = 0, **options: Any) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


class NoBlock(NoMixer):
    """As `NoMixer`, without the feed-forward branch too: the whole block is the identity."""

    mixes_channels = True


class DepthwiseMixer(nn.Module):
    """A large depth-wise kernel between two linear layers: about what windowed attention costs.

    Args:
        channels: channels in and out.
        index: the block's index within its stage; all are alike.
        kernel: of no use here.
        dropout: of no use here.
        extent: voxels of the depth-wise kernel.
    """

    mixes_channels = False

    def __init__(
        self, channels: int, index: int = 0, *, kernel: Triple = (3, 3, 3), dropout: float = 0.0, extent: int = 5
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.before = nn.Linear(channels, channels)
        self.depthwise = DepthwiseConv(channels, (extent, extent, extent))
        self.after = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.before(self.norm(to_tokens(x)))
        local = self.depthwise(to_map(tokens))
        return to_map(self.after(to_tokens(local)))
