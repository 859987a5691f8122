"""A selective state-space scan along the lines of the map, in six directions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hybridseg.networks.layers.layout import to_map, to_tokens

from .base import BlockContext, Mixer


class ScanMixer(Mixer):
    """A recurrence along each axis, forwards and backwards, whose memory depends on the input.

        state = (1 - update) * state before + update * input      update = sigmoid(linear(input))

    The scan of a selective state-space model with one state per channel (Mamba, Gu and Dao 2023,
    https://arxiv.org/abs/2312.00752, theorem 1), in the several directions of VMamba (Liu et al. 2024,
    https://arxiv.org/abs/2401.10166, section 4.2), whose result is multiplied by a gate. Deviations: along lines of
    voxels, not along one line through the whole map; directions share their linear layers; every direction has all
    channels. A loop of one step per voxel of a line: for the short lines of coarse stages.

    Args:
        context: channels and dropout.
    """

    def __init__(self, context: BlockContext) -> None:
        super().__init__()
        channels = context.channels
        self.norm = nn.LayerNorm(channels)
        self.inwards = nn.Linear(channels, 3 * channels)
        self.outwards = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(context.dropout)

    def forward(self, x: Tensor) -> Tensor:
        features, update, gate = self.inwards(self.norm(to_tokens(x))).chunk(3, dim=-1)
        update = update.sigmoid()
        mixed = sum((self.scan(features, update, axis) for axis in (1, 2, 3)), torch.zeros_like(features))
        return to_map(self.dropout(self.outwards(functional.silu(gate) * mixed)))

    @staticmethod
    def scan(features: Tensor, update: Tensor, axis: int) -> Tensor:
        """Return the mean of the states of both directions along an axis of (B, D, H, W, C)."""
        inputs, keep = (update * features).unbind(axis), (1 - update).unbind(axis)
        states = []
        for order in (range(len(inputs)), reversed(range(len(inputs)))):
            state = torch.zeros_like(inputs[0])
            found = {}
            for index in order:
                state = found[index] = keep[index] * state + inputs[index]
            states.append(torch.stack([found[index] for index in range(len(inputs))], dim=axis))
        return (states[0] + states[1]) / 2
