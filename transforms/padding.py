"""Pad volumes that are smaller than a patch or window, each channel with its own air."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

Padding = float | Sequence[float]
"""Value around a volume: one for all channels, or one for each."""

Window = tuple[slice, slice, slice]


def pad_to_size(volume: Tensor, size: Sequence[int], padding: Padding) -> tuple[Tensor, Window]:
    """Pad a volume (C, D, H, W) on both sides to at least a size; also return where the volume is in the result.

    Raises:
        ValueError: there are neither one nor C values.
    """
    missing = [max(0, wanted - length) for wanted, length in zip(size, volume.shape[1:], strict=True)]
    before = [length // 2 for length in missing]
    depth, height, width = (
        slice(start, start + length) for start, length in zip(before, volume.shape[1:], strict=True)
    )
    if isinstance(padding, Sequence) and len(padding) != len(volume):
        raise ValueError(f"padding: {list(padding)}: must be one value, or one for each of {len(volume)} channels")
    if any(missing):
        border = [(start, length - start) for start, length in zip(before, missing, strict=True)]
        sides = [*border[2], *border[1], *border[0]]
        if isinstance(padding, Sequence):
            parts = [
                functional.pad(channel, sides, value=value) for channel, value in zip(volume, padding, strict=True)
            ]
            volume = torch.stack(parts)
        else:
            volume = functional.pad(volume, sides, value=padding)
    return volume, (depth, height, width)
