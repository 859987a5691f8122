"""Pad volumes that are smaller than a patch or window, each channel with its own air."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
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


class PadToSized(MapTransform):
    """Pad volumes (C, D, H, W) on both sides to at least a size.

    Args:
        keys: the volumes.
        size: voxels along (D, H, W).
        padding: value around the volumes, or one for each channel.
        allow_missing_keys: skip keys that a case lacks.
    """

    def __init__(
        self, keys: KeysCollection, size: Sequence[int], padding: Padding, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.size = tuple(size)
        self.padding = padding

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        case = dict(data)
        for key in self.key_iterator(case):
            case[key], _ = pad_to_size(case[key], self.size, self.padding)
        return case
