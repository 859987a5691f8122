"""Which voxels a voxel attends to: the weights of one query, taken from what a mixer really computes.

Attention is fused in torch: its weights never exist. They are made here for one query from the queries, keys, bias and
mask that the mixer hands to `scaled_dot_product_attention`, so that nothing of the mixer is written a second time.

D, H, W  voxels of the stage's map     M  windows        N  voxels of a window
h        heads                         C  channels
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from hybridseg.networks.hybrid_swin_unetr import HybridSwinUNETR
from hybridseg.networks.mixers.global_attention import RelativeMixer
from hybridseg.networks.mixers.window import WindowMixer
from hybridseg.networks.mixers.window_grid import WindowGrid, distances, window_grid
from hybridseg.networks.validation import Triple, each_axis


@dataclass(frozen=True)
class AttentionMap:
    """What one voxel of a stage's map attends to.

    Attributes:
        weights: (h, D, H, W), of which each head's sum to 1; 0 at voxels that the query cannot meet.
        windows: (D, H, W), a number for each voxel, the same for those that may meet.
        query: the voxel of the map that attends, along (D, H, W).
        stride: voxels of the image to one of the map, along (D, H, W).
    """

    weights: Tensor
    windows: Tensor
    query: Triple
    stride: Triple

    def spread(self) -> Tensor:
        """To how many voxels each head (h) attends: the exponential of the entropy, 1 where one has all the weight."""
        return torch.special.entr(self.weights).sum(dim=(1, 2, 3)).exp()

    def distance(self, spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> Tensor:
        """How far from the query each head (h) attends in the mean, in voxels of the image.

        Args:
            spacing: mm of a voxel of the image along (D, H, W), for mm.
        """
        steps = [length * stride for length, stride in zip(spacing, self.stride, strict=True)]
        depth, height, width = self.windows.shape
        apart = distances((depth, height, width), self.query, steps).to(self.weights.device)
        return self.weights.flatten(1) @ apart


@torch.no_grad()
def attention_map(
    network: HybridSwinUNETR, image: Tensor, voxel: Sequence[int], *, stage: int = -1, block: int = 0
) -> AttentionMap:
    """Ask a block which voxels it attends to from one voxel.

    Args:
        network: in evaluation mode.
        image: (1, C, D, H, W), as the network takes it.
        voxel: of the image, along (D, H, W); the voxel of the map in which it lies attends.
        stage: of the encoder, 0 for the first after the stem, -1 for the deepest.
        block: of the stage, from 0; in a stage of windows every second is shifted.

    Raises:
        ValueError: more than one image, a voxel outside of it, no such stage or block, or one whose mixer is neither a
            `WindowMixer` nor a `RelativeMixer`.

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
    blocks = stages[stage].get_submodule("blocks")
    assert isinstance(blocks, nn.ModuleList)
    if not 0 <= block < len(blocks):
        raise ValueError(f"block: {block}: the stage has {len(blocks)}: must be 0 to {len(blocks) - 1}")
    mixer = blocks[block].get_submodule("mixer")
    if not isinstance(mixer, WindowMixer | RelativeMixer):
        raise ValueError(f"stage: {stage}: {type(mixer).__name__}: must have windowed or relative attention")
    x = input_of(mixer, network, image)
    depth, height, width = x.shape[2:]
    grid = grid_of(mixer, (depth, height, width))
    stride = network.scales[1:][stage]
    query = each_axis(lambda at, s: at // s, voxel, stride)
    return AttentionMap(attention_weights(mixer, x, grid, query), grid.numbers(), query, stride)


def input_of(layer: nn.Module, network: nn.Module, image: Tensor) -> Tensor:
    """What a layer of the network is given."""
    given: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, arguments: given.append(arguments[0]))
    try:
        network(image)
    finally:
        handle.remove()
    return given[0]


def grid_of(mixer: WindowMixer | RelativeMixer, size: Triple) -> WindowGrid:
    """The windows of a mixer on a map of `size` voxels: for attention among all voxels the one that holds them all."""
    return (
        window_grid(size, mixer.window, mixer.shifted)
        if isinstance(mixer, WindowMixer)
        else window_grid(size, size, False)
    )


def attention_weights(mixer: WindowMixer | RelativeMixer, x: Tensor, grid: WindowGrid, query: Triple) -> Tensor:
    """The weights (h, D, H, W) by which a voxel of the map `x` (1, C, D, H, W) attends to each."""
    with Attention() as attention:
        mixer(x)
    queries, keys = (part.flatten(0, 1).unflatten(0, (-1, mixer.heads)) for part in attention.arguments[:2])
    bias = attention.options["attn_mask"].flatten(0, 1).unflatten(0, (-1, mixer.heads))  # (M or 1, h, N, N)
    scale = attention.options.get("scale") or queries.shape[-1] ** -0.5
    depth, height, width = grid.size
    voxels = torch.arange(1, depth * height * width + 1, device=x.device).view(1, *grid.size, 1)
    places = grid.partition(voxels)[0, :, :, 0] - 1  # (M, N), -1 for padding
    at = (query[0] * height + query[1]) * width + query[2]
    window, token = (places == at).nonzero()[0].tolist()
    scores = torch.einsum("hc,hnc->hn", queries[window, :, token], keys[window]) * scale
    scores = scores + bias[window % len(bias), :, token]
    real = places[window] >= 0
    weights = torch.zeros(mixer.heads, depth * height * width, dtype=scores.dtype, device=x.device)
    weights[:, places[window, real]] = scores.softmax(dim=-1)[:, real]
    return weights.unflatten(1, grid.size)


class Attention(TorchFunctionMode):
    """Remembers, as a context, what the last attention within it was given.

    Attributes:
        arguments: queries, keys and values.
        options: the keywords, `attn_mask` among them.
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
