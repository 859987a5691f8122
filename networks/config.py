"""What a network of the family consists of: one frozen record of per-stage tuples.

A stage names its mixer together with that mixer's own options, so that a new mixer brings its options with it and
nothing here changes. Variants are made with `dataclasses.replace`; a JSON bundle may write lists where tuples stand
here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

Triple = tuple[int, int, int]
Part = str | Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The numbers and names from which `HybridSwinUNETR` is built.

    Stage `i` downsamples by `strides[i]`, has `channels[i]` channels and `depths[i]` blocks of `mixers[i]`. The stem
    comes before the stages and keeps full resolution.

    Args:
        in_channels: image channels.
        out_channels: classes with the background, or overlapping regions.
        stem: name of the stem, or a mapping of `name` and its options.
        stem_channels: channels at full resolution, the most expensive number of the network.
        channels: channels of each stage.
        depths: blocks of each stage.
        strides: downsampling before each stage, in voxels: one integer, or three along (D, H, W).
        mixers: mixer of each stage: a name, or a mapping of `name` and that mixer's options.
        deep_supervision: in training, give logits at every scale of the decoder.
        checkpointing: in training, recompute the blocks' activations in the backward pass instead of keeping them.

    Raises:
        ValueError: a number is not positive, a stride is not one or three integers, or the tuples differ in length.
    """

    in_channels: int
    out_channels: int
    stem: Part = "conv"
    stem_channels: int
    channels: tuple[int, ...]
    depths: tuple[int, ...]
    strides: tuple[int | Triple, ...]
    mixers: tuple[Part, ...]
    deep_supervision: bool = True
    checkpointing: bool = False

    def __post_init__(self) -> None:
        for name in ("channels", "depths", "strides", "mixers"):
            value = getattr(self, name)
            if isinstance(value, str) or not isinstance(value, Sequence) or not value:
                raise ValueError(f"{name}: {value!r}: must be a list with one entry per stage")
            if len(value) != len(self.channels):
                raise ValueError(
                    f"{name}: {len(value)} entries: must have one per stage, {len(self.channels)} as channels has"
                )
            object.__setattr__(self, name, tuple(value))
        object.__setattr__(self, "strides", tuple(triple(stride, "strides") for stride in self.strides))
        for name in ("in_channels", "out_channels", "stem_channels"):
            positive(getattr(self, name), name)
        for name in ("channels", "depths"):
            for value in getattr(self, name):
                positive(value, name)

    @classmethod
    def names(cls) -> list[str]:
        """The fields a caller may set."""
        return [field.name for field in fields(cls)]


def positive(value: Any, name: str) -> int:
    """Check that `value` is a whole number of at least 1.

    Raises:
        ValueError: it is not; the message gives `name`, the value and the rule.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}: {value!r}: must be a positive integer")
    return value


def triple(value: Any, name: str) -> Triple:
    """Turn one integer or three into one per axis (D, H, W).

    Raises:
        ValueError: neither one nor three positive integers; the message gives `name`, the value and the rule.
    """
    values = (value,) * 3 if isinstance(value, int) else value
    if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != 3:
        raise ValueError(f"{name}: {value!r}: must be one integer or three")
    depth, height, width = (positive(entry, name) for entry in values)
    return depth, height, width


def each_axis(rule: Callable[..., int], *triples: Iterable[int]) -> Triple:
    """Apply a rule to what stands for depth in all triples, then for height, then for width."""
    depth, height, width = map(rule, *triples)
    return depth, height, width


def build(part: Part, known: Mapping[str, Any], field: str, *args: Any, **fixed: Any) -> Any:
    """Build a part of the network from its name and options.

    Args:
        part: a name, or a mapping of `name` and options.
        known: the classes by name.
        field: the config's field, for messages.
        args: positional arguments of every class in `known`.
        fixed: keyword arguments that the network sets, not the user.

    Raises:
        ValueError: the name is unknown (the message lists the known ones), or an option is unknown or wrong.
    """
    options = {"name": part} if isinstance(part, str) else dict(part)
    name = str(options.pop("name", ""))
    if name not in known:
        raise ValueError(f"{field}: {name!r}: must be one of {', '.join(sorted(known))}")
    try:
        return known[name](*args, **fixed, **options)
    except TypeError as error:
        raise ValueError(f"{field}: {part!r}: {error}") from error
