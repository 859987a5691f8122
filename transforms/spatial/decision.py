"""Turn a voxel's logits into a label: that of the highest class, or that of the last region above its threshold.

Channels of any shape are passed one at a time, so that those of many classes need not be in memory at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from hybridseg.transforms.grid import label_dtype
from hybridseg.transforms.regions import Regions, region_labels

Choose = Callable[[Iterable[Tensor]], Tensor]
"""Maps channels to labels of the same shape, uint8 if that holds all labels, otherwise int32.

If two voxels get the same label, so does every linear interpolation between them.
"""


def choosing_rule(
    channels: int,
    threshold: float | None = None,
    regions: Regions | None = None,
    *,
    probabilities: bool = False,
    thresholds: Mapping[str, float] | None = None,
) -> tuple[Choose, int]:
    """Return the rule that turns a network's channels into labels; for the arguments see `restore_labels`.

    Args:
        channels: number of channels.
        threshold: threshold of a single channel.
        regions: labels of the region of each channel.
        probabilities: whether the channels of regions are probabilities instead of logits.
        thresholds: probability above which a voxel is in a region, by the region's name; 0.5 for the others.

    Returns:
        The rule, and the greatest label that it can give.

    Raises:
        ValueError: threshold or regions do not match the number of channels or each other.
    """
    if regions is not None:
        labels = region_labels(regions)
        if threshold is not None or len(labels) != channels:
            given = f"{len(labels)} for {channels} channels, threshold {threshold}"
            raise ValueError(f"regions: {given}: must be one for each channel, without a threshold")
        chances = region_thresholds(regions, thresholds or {})
        limits = chances if probabilities else [math.log(chance / (1 - chance)) for chance in chances]
        return partial(last_region, labels=labels, thresholds=limits), max(labels)
    if thresholds:
        raise ValueError(f"thresholds: {dict(thresholds)}: must be given for regions only")
    if (threshold is None) == (channels == 1):
        raise ValueError(f"threshold: {threshold} for {channels} channels: one channel needs one, several need None")
    if threshold is not None:
        return partial(last_region, labels=(1,), thresholds=(threshold,)), 1
    return partial(highest_class, count=channels), channels - 1


def highest_class(channels: Iterable[Tensor], *, count: int) -> Tensor:
    """Return the index of the highest of `count` channels, the first of equals.

    Raises:
        ValueError: a channel has NaN.
    """
    remaining = iter(channels)
    highest = next(remaining)
    labels = torch.zeros(highest.shape, dtype=_label_dtype(count - 1), device=highest.device)
    for index, channel in enumerate(remaining, start=1):
        labels.masked_fill_(channel > highest, index)
        highest = torch.maximum(highest, channel)  # propagates NaN
    _check_no_nan(highest)
    return labels


def region_thresholds(regions: Regions, thresholds: Mapping[str, float]) -> list[float]:
    """Return the probability above which a voxel is in each region.

    Raises:
        ValueError: there is no such region, or a threshold is not between 0 and 1.
    """
    for name, threshold in thresholds.items():
        if name not in regions or not 0 < threshold < 1:
            found = f"{name!r}: {threshold}"
            raise ValueError(f"thresholds: {found}: must be between 0 and 1, for one of {', '.join(regions)}")
    return [thresholds.get(name, 0.5) for name in regions]


def last_region(channels: Iterable[Tensor], *, labels: Sequence[int], thresholds: Sequence[float]) -> Tensor:
    """Return the label of the last channel above its threshold, or 0.

    Args:
        channels: one for each label.
        labels: label of each channel, all different.
        thresholds: a voxel is in a region if its channel is above that of the region.

    Raises:
        ValueError: a channel has NaN.
    """
    remaining = iter(channels)
    highest = next(remaining)
    chosen = torch.zeros(highest.shape, dtype=_label_dtype(max(labels)), device=highest.device)
    chosen.masked_fill_(highest > thresholds[0], labels[0])
    for label, threshold, channel in zip(labels[1:], thresholds[1:], remaining, strict=True):
        chosen.masked_fill_(channel > threshold, label)
        highest = torch.maximum(highest, channel)
    _check_no_nan(highest)
    return chosen


def _label_dtype(greatest: int) -> torch.dtype:
    """Return uint8 or int32: PyTorch supports few operations on uint16."""
    return torch.uint8 if label_dtype(greatest) is np.uint8 else torch.int32


def _check_no_nan(highest: Tensor) -> None:
    if highest.isnan().any():
        raise ValueError("logits: NaN: must be numbers")
