"""Replacements for attention, to measure what attention contributes; configs name them by dotted path."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from hybridseg.networks import BlockContext, HybridSwinUNETR, Mixer
from hybridseg.networks.layers import DepthwiseConv, to_map, to_tokens
from hybridseg.networks.validation import odd_triple


class NoMixer(Mixer):
    """Adds nothing; the block keeps its position convolution and its feed-forward branch.

    Args:
        context: unused.
    """

    def __init__(self, context: BlockContext) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


class NoBlock(NoMixer):
    """As `NoMixer`, but without the other branches: the block is the identity."""

    mixes_channels = True


class DepthwiseMixer(Mixer):
    """A large depth-wise convolution between two linear layers, at about the cost of windowed attention.

    Args:
        context: channels.
        extent: voxels of the depth-wise kernel, odd.

    Raises:
        ValueError: `extent` is not a positive odd integer.
    """

    def __init__(self, context: BlockContext, *, extent: int = 5) -> None:
        super().__init__()
        channels = context.channels
        self.norm = nn.LayerNorm(channels)
        self.before = nn.Linear(channels, channels)
        self.depthwise = DepthwiseConv(channels, odd_triple(extent, "extent"))
        self.after = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.before(self.norm(to_tokens(x)))
        local = self.depthwise(to_map(tokens))
        return to_map(self.after(to_tokens(local)))


def without_mixer(network: HybridSwinUNETR, stage: int, mixer: type[NoMixer] = NoMixer) -> HybridSwinUNETR:
    """Copy a network and remove the mixers of a stage, without training it again.

    Args:
        network: not changed.
        stage: stage of the encoder, 0 for the first after the stem, -1 for the deepest.
        mixer: `NoMixer`, or `NoBlock` to remove the stage's whole blocks.

    Returns:
        The copy, with the remaining weights, of the same type, on the same device and in the same mode.

    Raises:
        ValueError: no such stage.
    """
    mixers = list(network.config.mixers)
    if not -len(mixers) <= stage < len(mixers):
        raise ValueError(f"stage: {stage}: the network has {len(mixers)}: must be {-len(mixers)} to {len(mixers) - 1}")
    mixers[stage] = f"{mixer.__module__}.{mixer.__qualname__}"
    copy = HybridSwinUNETR(replace(network.config, mixers=tuple(mixers))).train(network.training)
    copy.to(next(network.parameters()))
    weights = network.state_dict()
    copy.load_state_dict({name: weights[name] for name in copy.state_dict()})
    return copy
