"""What stands in for attention, to see what attention is worth; a config names it by its path."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from hybridseg.networks import HybridSwinUNETR
from hybridseg.networks.layers.convolutions import DepthwiseConv
from hybridseg.networks.layers.layout import to_map, to_tokens
from hybridseg.networks.validation import Triple, odd_triple


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
        extent: voxels of the depth-wise kernel, odd.

    Raises:
        ValueError: `extent` is not a positive odd integer.
    """

    mixes_channels = False

    def __init__(
        self, channels: int, index: int = 0, *, kernel: Triple = (3, 3, 3), dropout: float = 0.0, extent: int = 5
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.before = nn.Linear(channels, channels)
        self.depthwise = DepthwiseConv(channels, odd_triple(extent, "extent"))
        self.after = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.before(self.norm(to_tokens(x)))
        local = self.depthwise(to_map(tokens))
        return to_map(self.after(to_tokens(local)))


def without_mixer(network: HybridSwinUNETR, stage: int, mixer: type[NoMixer] = NoMixer) -> HybridSwinUNETR:
    """The same network with the same weights, in which a stage's mixers add nothing. It is not trained anew.

    Args:
        network: stays as it is.
        stage: of the encoder, 0 for the first after the stem, -1 for the deepest.
        mixer: `NoMixer`, or `NoBlock` to leave out the stage's feed-forward branches too.

    Returns:
        The other network, with copies of the weights, of the same type, on the same device and in the same mode.

    Raises:
        ValueError: no such stage.
    """
    mixers = list(network.config.mixers)
    if not -len(mixers) <= stage < len(mixers):
        raise ValueError(f"stage: {stage}: the network has {len(mixers)}: must be {-len(mixers)} to {len(mixers) - 1}")
    mixers[stage] = f"{mixer.__module__}.{mixer.__qualname__}"
    other = HybridSwinUNETR(replace(network.config, mixers=tuple(mixers))).train(network.training)
    other.to(next(network.parameters()))
    weights = network.state_dict()
    other.load_state_dict({name: weights[name] for name in other.state_dict()})
    return other
