"""Which label the logits of a voxel mean: that of the highest class, or that of the last region whose logit is high.

Channels come one at a time, so that those of many classes need not be held at once; they have any shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor

from hybridseg.transforms.regions import Regions, region_labels

GREATEST_BYTE = 255
"""The greatest label that uint8 holds."""

Choose = Callable[[Iterable[Tensor]], Tensor]
"""From channels to labels of their shape, uint8 where that holds them all, otherwise int32.

What it takes for a label, it takes between voxels that have it, too: interpolating linearly between them changes none.
"""


def choosing_rule(
    channels: int, threshold: float | None = None, regions: Regions | None = None, *, probabilities: bool = False
) -> tuple[Choose, int]:
    """How a network's channels become labels; the arguments are those of `restore_labels`.

    Args:
        channels: how many there are.
        threshold: of the only channel.
        regions: of each channel, the labels.
        probabilities: whether the channels of regions are probabilities instead of logits.

    Returns:
        The rule, and the greatest label that it may give.

    Raises:
        ValueError: threshold or regions do not go with that many channels, or with each other.
    """
    if regions is not None:
        labels = region_labels(regions)
        if threshold is not None or len(labels) != channels:
            given = f"{len(labels)} for {channels} channels, threshold {threshold}"
            raise ValueError(f"regions: {given}: must be one for each channel, without a threshold")
        return partial(last_region, labels=labels, threshold=0.5 if probabilities else 0.0), max(labels)
    if (threshold is None) == (channels == 1):
        raise ValueError(f"threshold: {threshold} for {channels} channels: one channel needs one, several need None")
    if threshold is not None:
        return partial(last_region, labels=(1,), threshold=threshold), 1
    return partial(highest_class, count=channels), channels - 1


def highest_class(channels: Iterable[Tensor], *, count: int) -> Tensor:
    """The index of the highest of `count` channels, the first of equals.

    Raises:
        ValueError: a channel has NaN.
    """
    remaining = iter(channels)
    highest = next(remaining)
    labels = torch.zeros(highest.shape, dtype=_type_of(count - 1), device=highest.device)
    for index, channel in enumerate(remaining, start=1):
        labels.masked_fill_(channel > highest, index)
        highest = torch.maximum(highest, channel)  # hands on NaN
    _refuse_nan(highest)
    return labels


def last_region(channels: Iterable[Tensor], *, labels: Sequence[int], threshold: float) -> Tensor:
    """The label of the last channel above `threshold`, 0 where none is.

    Args:
        channels: one for each label.
        labels: what each channel writes, all different.
        threshold: a voxel is in a region where its channel is above.

    Raises:
        ValueError: a channel has NaN.
    """
    remaining = iter(channels)
    highest = next(remaining)
    chosen = torch.zeros(highest.shape, dtype=_type_of(max(labels)), device=highest.device)
    chosen.masked_fill_(highest > threshold, labels[0])
    for label, channel in zip(labels[1:], remaining, strict=True):
        chosen.masked_fill_(channel > threshold, label)
        highest = torch.maximum(highest, channel)
    _refuse_nan(highest)
    return chosen


def _type_of(greatest: int) -> torch.dtype:
    return torch.uint8 if greatest <= GREATEST_BYTE else torch.int32


def _refuse_nan(highest: Tensor) -> None:
    if highest.isnan().any():
        raise ValueError("logits: NaN: must be numbers")
