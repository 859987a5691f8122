"""What the known mixers are: their summaries and sources, from their documentation, and their costs in `small`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from inspect import getdoc, signature
from statistics import median
from time import perf_counter

import torch
from torch import nn

from hybridseg.networks.blocks import Block
from hybridseg.networks.mixers import MIXERS, BlockContext, Mixer
from hybridseg.networks.registry import Part

from .cost import count_multiply_adds, count_parameters

CHANNELS, VOXELS, HEADS = 192, 8, 6
"""Channels of the coarsest stage of `small`, voxels along each axis of its map for a patch of 64, and its heads."""
ROUNDS = 3
SOURCE = re.compile(r"([\w'-]+ (?:et al\.|and [\w'-]+) \d{4}),? \(?(https://[^\s,)]+)")
"""An author, a year and an address, as docstrings cite papers."""


@dataclass(frozen=True)
class MixerDescription:
    """What a mixer is, and what a block with it costs in the coarsest stage of `small`.

    Attributes:
        summary: the first sentence of its documentation.
        sources: papers by address.
        parameters: of the block.
        multiply_adds: of convolutions, matrix products and attention in a forward pass of the block.
    """

    summary: str
    sources: dict[str, str]
    parameters: int
    multiply_adds: int


def describe_mixer(name: str) -> MixerDescription:
    """Describe one of `MIXERS`."""
    text = getdoc(MIXERS[name]) or ""
    summary = " ".join(text.split("\n\n")[0].split())
    sources = {address: paper for paper, address in SOURCE.findall(" ".join(text.split()))}
    block, shape = coarse_block(name), (1, CHANNELS, VOXELS, VOXELS, VOXELS)
    return MixerDescription(summary, sources, count_parameters(block), count_multiply_adds(block, shape))


def time_mixers() -> dict[str, float]:
    """Return the milliseconds of a forward pass of a block with each mixer on the CPU, in turns."""
    x = torch.randn(1, CHANNELS, VOXELS, VOXELS, VOXELS).to(memory_format=torch.channels_last_3d)
    blocks = {name: coarse_block(name) for name in MIXERS}
    seconds: dict[str, list[float]] = {name: [] for name in MIXERS}
    with torch.inference_mode():
        for _ in range(ROUNDS):
            for name, block in blocks.items():
                start = perf_counter()
                block(x)
                seconds[name].append(perf_counter() - start)
    return {name: 1000 * median(times) for name, times in seconds.items()}


def coarse_block(name: str) -> nn.Module:
    """Make a block of the coarsest stage of `small` with another mixer."""
    part: Part = {"name": name, "heads": HEADS} if has_heads(MIXERS[name]) else name
    block = Block(BlockContext(CHANNELS), part, "depthwise", drop_path=0.0).eval()
    block.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return block


def has_heads(kind: type[Mixer]) -> bool:
    """Return whether the option `heads` is among those of a mixer or of a class from which it is derived."""
    return any("heads" in signature(base).parameters for base in kind.__mro__ if issubclass(base, nn.Module))


def mixer_table() -> str:
    """Return the known mixers as a table in Markdown."""
    lines = ["| mixer | what it does | source | parameters | multiply-adds |", "|---|---|---|---|---|"]
    for name in MIXERS:
        found = describe_mixer(name)
        sources = ", ".join(f"[{paper}]({address})" for address, paper in found.sources.items())
        costs = f"{found.parameters / 1e6:.2f} M | {found.multiply_adds / 1e9:.2f} G"
        lines.append(f"| `{name}` | {found.summary} | {sources} | {costs} |")
    return "\n".join(lines)
