"""Which voxels a voxel attends to: the attention weights of one query in a mixer.

torch's fused attention never stores its weights. They are computed here for one query from the queries, keys and bias
that the mixer passes to `scaled_dot_product_attention`, so that no mixer is implemented twice.

D, H, W  voxels of the stage's map     M  windows        N  voxels of a window
h        heads                         C  channels
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from hybridseg.networks.blocks import Block
from hybridseg.networks.hybrid_swin_unetr import HybridSwinUNETR
from hybridseg.networks.mixers.base import Mixer
from hybridseg.networks.mixers.window_grid import WindowGrid, distances
from hybridseg.networks.validation import Triple, each_axis


@dataclass(frozen=True)
class AttentionMap:
    """The attention weights of one voxel of a stage's map.

    Attributes:
        weights: (h, D, H, W), each head sums to 1; 0 outside the window of the query.
        windows: (D, H, W), the number of each voxel's window.
        query: the voxel of the map that attends, along (D, H, W).
        stride: voxels of the image per voxel of the map along (D, H, W).
    """

    weights: Tensor
    windows: Tensor
    query: Triple
    stride: Triple

    def spread(self) -> Tensor:
        """Return how many voxels each head (h) attends to: the exponential of the entropy, 1 for a single voxel."""
        return torch.special.entr(self.weights).sum(dim=(1, 2, 3)).exp()

    def distance(self, spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> Tensor:
        """Return the mean distance from the query at which each head (h) attends, in voxels of the image.

        Args:
            spacing: voxel size of the image along (D, H, W) in mm, for a distance in mm.
        """
        steps = [length * stride for length, stride in zip(spacing, self.stride, strict=True)]
        depth, height, width = self.windows.shape
        apart = distances((depth, height, width), self.query, steps).to(self.weights.device)
        return self.weights.flatten(1) @ apart


@torch.no_grad()
def attention_map(
    network: HybridSwinUNETR, image: Tensor, voxel: Sequence[int], *, stage: int = -1, block: int = 0
) -> AttentionMap:
    """Compute which voxels one voxel attends to in a block.

    Args:
        network: a network in evaluation mode.
        image: (1, C, D, H, W), preprocessed for the network.
        voxel: a voxel of the image along (D, H, W); the query is the voxel of the map that contains it.
        stage: stage of the encoder, 0 for the first after the stem, -1 for the deepest.
        block: block of the stage, from 0; with windows every second block is shifted.

    Raises:
        ValueError: more than one image, a voxel outside it, no such stage or block, or a mixer whose `windows` are
            None.

    Examples:
        >>> from hybridseg.networks import create_model
        >>> network = create_model("tiny", in_channels=1, out_channels=2).eval()
        >>> attention_map(network, torch.zeros(1, 1, 64, 48, 48), (20, 24, 24), block=1).weights.shape
        torch.Size([6, 8, 6, 6])
    """
    if image.ndim != 5 or len(image) != 1:
        raise ValueError(f"image: shape {tuple(image.shape)}: must be (1, C, D, H, W)")
    if len(voxel) != 3 or not all(0 <= at < n for at, n in zip(voxel, image.shape[2:], strict=True)):
        raise ValueError(f"voxel: {tuple(voxel)}: must lie within the image of {tuple(image.shape[2:])} voxels")
    stages = network.encoder.stages
    if not -len(stages) <= stage < len(stages):
        raise ValueError(f"stage: {stage}: the network has {len(stages)}: must be {-len(stages)} to {len(stages) - 1}")
    blocks = list(stages[stage].get_submodule("blocks").children())
    if not 0 <= block < len(blocks):
        raise ValueError(f"block: {block}: the stage has {len(blocks)}: must be 0 to {len(blocks) - 1}")
    mixer = cast(Block, blocks[block]).mixer
    x = input_of(mixer, network, image)
    depth, height, width = x.shape[2:]
    grid = mixer.windows((depth, height, width))
    if grid is None:
        raise ValueError(f"stage: {stage}: {type(mixer).__name__}: must have window, relative or rotary attention")
    stride = network.scales[1:][stage]
    query = each_axis(lambda at, s: at // s, voxel, stride)
    return AttentionMap(attention_weights(mixer, x, grid, query), grid.window_numbers(), query, stride)


def input_of(layer: nn.Module, network: nn.Module, image: Tensor) -> Tensor:
    """Run the network and return the input of one of its layers."""
    inputs: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    try:
        network(image)
    finally:
        handle.remove()
    return inputs[0]


def attention_weights(mixer: Mixer, x: Tensor, grid: WindowGrid, query: Triple) -> Tensor:
    """Compute the weights (h, D, H, W) with which a voxel attends to the voxels of its map.

    Args:
        mixer: a mixer with attention.
        x: its input (1, C, D, H, W).
        grid: its windows on this map.
        query: the voxel along (D, H, W).
    """
    with Attention() as attention:
        mixer(x)
    queries, keys = (part.flatten(0, 1).unflatten(0, (math.prod(grid.count), -1)) for part in attention.arguments[:2])
    heads, channels = queries.shape[1], queries.shape[3]  # queries and keys are (M, h, N, C / h)
    scale = attention.options.get("scale") or channels**-0.5
    depth, height, width = grid.size
    voxels = torch.arange(1, depth * height * width + 1, device=x.device).view(1, *grid.size, 1)
    places = grid.partition(voxels)[0, :, :, 0] - 1  # (M, N), -1 for padding
    at = (query[0] * height + query[1]) * width + query[2]
    window, token = (places == at).nonzero()[0].tolist()
    scores = torch.einsum("hc,hnc->hn", queries[window, :, token], keys[window]) * scale
    bias = attention.options.get("attn_mask")
    if bias is not None:
        bias = bias.flatten(0, 1).unflatten(0, (-1, heads))  # (M or 1, h, N, N)
        scores = scores + bias[window % len(bias), :, token]
    real = places[window] >= 0
    weights = torch.zeros(heads, depth * height * width, dtype=scores.dtype, device=x.device)
    weights[:, places[window, real]] = scores.softmax(dim=-1)[:, real]
    return weights.unflatten(1, grid.size)


class Attention(TorchFunctionMode):
    """A context manager that records the arguments of the last attention inside it.

    Attributes:
        arguments: queries, keys and values.
        options: the keyword arguments, such as `attn_mask`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.arguments: Sequence[Tensor] = ()
        self.options: Mapping[str, Any] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is functional.scaled_dot_product_attention:
            self.arguments, self.options = args, kwargs or {}
        return func(*args, **(kwargs or {}))
