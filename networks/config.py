"""The configuration of a network: one frozen dataclass of per-stage tuples.

A part (stem, mixer, downsampling, feed-forward, fusion) is a name, or a mapping of `name` and that part's own options,
so that a new part needs no new field. Make variants with `dataclasses.replace`; in JSON, write lists for tuples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from .registry import Part
from .validation import Triple, not_negative, odd_triple, positive, probability, triple

ONE_FOR_ALL = ("kernels", "fusion", "decoder_depths")


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The configuration from which `HybridSwinUNETR` is built.

    Stage `i` downsamples by `strides[i]`, has `channels[i]` channels and `depths[i]` blocks of `mixers[i]`. The stem
    comes before the stages.

    Args:
        in_channels: image channels.
        out_channels: classes including the background, or overlapping regions.
        stem: one of `STEMS`.
        stem_channels: channels of the stem; at full resolution they dominate the cost of the network.
        stem_kernel: voxels of the kernels of the stem and of the decoder at its scale: one odd integer, or three along
            (D, H, W).
        channels: channels of each stage.
        depths: blocks of each stage.
        strides: downsampling before each stage, in voxels: one integer, or three along (D, H, W).
        kernels: voxels of the kernels of each stage and of the decoder at its scale, as `stem_kernel`; one per stage,
            or one integer, or a list of one entry such as [[1, 3, 3]], for all stages.
        mixers: mixer of each stage: one of `MIXERS`, or the dotted path of a `Mixer` elsewhere; or a list of mixers
            that alternate over the stage's blocks.
        downsampling: one of `DOWNSAMPLINGS`.
        feed_forward: branch after a mixer that does not mix channels: one of `FEED_FORWARDS`.
        fusion: how the decoder joins upsampled features and the skip connection: one of `FUSIONS`; one for all
            scales, or one per scale, finest first.
        decoder_depths: convolutions of the decoder at each scale: one for all, or one per scale, finest first.
        drop_path: stochastic depth: probability, in training, to leave out the branches of the last block; it falls
            linearly to 0 at the first block (Huang et al. 2016, https://arxiv.org/abs/1603.09382).
        dropout: probability, in training, to zero an entry of the result of an attention or feed-forward branch.
        layer_scale: initial value, such as 0.1, of a learned factor per channel that multiplies a mixer that does not
            mix channels and the feed-forward branch after it; 0 for no factors (CaiT, Touvron et al. 2021,
            https://arxiv.org/abs/2103.17239).
        deep_supervision: in training, return logits at every scale of the decoder.
        checkpointing: in training, recompute the blocks' activations in the backward pass instead of keeping them.

    Raises:
        ValueError: a value breaks its rule, or the tuples differ in length.
    """

    in_channels: int
    out_channels: int
    stem: Part = "conv"
    stem_channels: int
    stem_kernel: Triple = (3, 3, 3)
    channels: tuple[int, ...]
    depths: tuple[int, ...]
    strides: tuple[Triple, ...]
    kernels: tuple[Triple, ...] = ((3, 3, 3),)
    mixers: tuple[Part | Sequence[Part], ...]
    downsampling: Part = "conv"
    feed_forward: Part = "depthwise"
    fusion: tuple[Part, ...] = ("concat",)
    decoder_depths: tuple[int, ...] = (1,)
    drop_path: float = 0.0
    dropout: float = 0.0
    layer_scale: float = 0.0
    deep_supervision: bool = True
    checkpointing: bool = False

    def __post_init__(self) -> None:
        for name in ("channels", "depths", "strides", "mixers", "kernels", "fusion", "decoder_depths"):
            value = getattr(self, name)
            if name in ONE_FOR_ALL and isinstance(value, int | str | Mapping):
                value = (value,)
            if isinstance(value, str) or not isinstance(value, Sequence) or not value:
                raise ValueError(f"{name}: {value!r}: must be a list with one entry per stage")
            if len(value) != len(self.channels) and not (name in ONE_FOR_ALL and len(value) == 1):
                raise ValueError(
                    f"{name}: {len(value)} entries: must have one per stage, {len(self.channels)} as in channels"
                )
            object.__setattr__(self, name, tuple(value))
        object.__setattr__(self, "strides", tuple(triple(stride, "strides") for stride in self.strides))
        object.__setattr__(self, "kernels", tuple(odd_triple(kernel, "kernels") for kernel in self.kernels))
        object.__setattr__(self, "stem_kernel", odd_triple(self.stem_kernel, "stem_kernel"))
        for name in ("in_channels", "out_channels", "stem_channels"):
            positive(getattr(self, name), name)
        for name in ("channels", "depths", "decoder_depths"):
            for value in getattr(self, name):
                positive(value, name)
        for name in ("drop_path", "dropout"):
            probability(getattr(self, name), name)
        not_negative(self.layer_scale, "layer_scale")
        for name in ("deep_supervision", "checkpointing"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}: {getattr(self, name)!r}: must be true or false")

    def per_stage(self, name: str) -> tuple[Any, ...]:
        """Return the value of a field for each stage, repeating a single entry."""
        value = getattr(self, name)
        return tuple(value) * len(self.channels) if name in ONE_FOR_ALL and len(value) == 1 else value

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of the fields."""
        return [field.name for field in fields(cls)]
