"""Random training patches: centres are drawn first, so that only the patches are read from a volume.

A volume is a tensor in memory or a compressed array on disk; both are sliced alike.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Randomizable
from numpy.typing import NDArray
from torch import Tensor

POSITIONS = "label_positions"
"""Key of the entry with the positions of a case's labels, where they are known already."""

MOST_POSITIONS = 10_000
"""Most voxels of each label, evenly spread, that are kept as possible patch centres."""

Positions = Mapping[int, NDArray[np.int32]]
"""Voxels of each label that occurs, by its number: indices into the flattened (D, H, W), in order."""


def label_positions(label: Any) -> Positions:
    """Find voxels of each label of a map (1, D, H, W): all of them, or `MOST_POSITIONS` evenly spread over all."""
    labels = np.asarray(label).ravel().astype(np.uint16)
    positions = {}
    for number in np.flatnonzero(np.bincount(labels)):
        voxels = np.flatnonzero(labels == number)
        if len(voxels) > MOST_POSITIONS:
            voxels = voxels[np.linspace(0, len(voxels) - 1, MOST_POSITIONS).round().astype(int)]
        positions[int(number)] = voxels.astype(np.int32)
    return positions


class RandPatchesd(Randomizable, MapTransform):
    """Cut random patches out of a case, half of them centred on a label, all of whose labels are equally likely.

    As MONAI's RandCropByLabelClassesd with ratios per case (with the same ratios for all cases, the background would
    get the share of each label that a case lacks), and with the same random numbers. A patch lies within the volume as
    far as it fits; a smaller volume is padded on both sides.

    Args:
        keys: volumes (C, D, H, W) on one grid: tensors, or arrays that are read where they are sliced.
        label_key: the label map among them; a patch of it has an integer type.
        patch_size: voxels along (D, H, W).
        patches: patches per case.
        padding: value around a smaller image, or one for each channel; labels are padded by 0.
        ignore: label of the voxels without annotation; no patch is centred on one, unless a case has no others.
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_key: str,
        patch_size: Sequence[int],
        patches: int = 1,
        padding: float | Sequence[float] = 0.0,
        ignore: int | None = None,
    ) -> None:
        super().__init__(keys)
        self.label_key = label_key
        self.patch_size = tuple(patch_size)
        self.patches = patches
        self.ignore = ignore
        self.padding = torch.as_tensor(padding, dtype=torch.float32)

    def __call__(self, data: Mapping[Hashable, Any]) -> list[dict[Hashable, Any]]:
        case = dict(data)
        positions = case.pop(POSITIONS, None)
        label = case[self.label_key]
        starts = self.draw(label_positions(label) if positions is None else positions, label.shape[1:])
        return [
            {**case, **{key: self.read(case[key], key, start) for key in self.key_iterator(case)}} for start in starts
        ]

    def draw(self, positions: Positions, shape: Sequence[int]) -> list[NDArray[np.int64]]:
        """Draw the first voxel (D, H, W) of each patch, which is negative where the volume needs padding."""
        numbers = sorted(positions.keys() - {self.ignore}) or sorted(positions)
        labels = sum(number > 0 for number in numbers)
        weights = np.asarray([1 if number else max(1, labels) for number in numbers])
        size, length = np.asarray(self.patch_size), np.asarray(shape)
        before = np.maximum(size - length, 0) // 2
        starts = []
        for index in self.R.choice(len(numbers), size=self.patches, p=weights / weights.sum()):
            voxels = positions[numbers[index]]
            centre = np.asarray(np.unravel_index(voxels[self.R.randint(len(voxels))], tuple(shape)))
            starts.append((centre + before - size // 2).clip(0, np.maximum(length - size, 0)) - before)
        return starts

    def read(self, volume: Any, key: Hashable, start: NDArray[np.int64]) -> Tensor:
        """Read a patch (C, *patch_size) of a volume, whose first voxel (D, H, W) may lie outside."""
        stop = np.minimum(start + self.patch_size, volume.shape[1:])
        d, h, w = (slice(int(first), int(last)) for first, last in zip(start.clip(0), stop, strict=True))
        source = volume.as_tensor() if isinstance(volume, MetaTensor) else volume
        read = source[:, d, h, w]
        if key == self.label_key:
            inside = small_integers(torch.as_tensor(read if isinstance(read, Tensor) else np.asarray(read, np.int32)))
        else:
            inside = torch.as_tensor(read)
        if inside.shape[1:] == self.patch_size:
            return inside.clone() if inside is read else inside
        patch = inside.new_empty((len(inside), *self.patch_size))
        patch[:] = 0 if key == self.label_key else self.padding.view(-1, 1, 1, 1)
        d, h, w = (
            slice(int(first), int(first) + length)
            for first, length in zip((-start).clip(0), inside.shape[1:], strict=True)
        )
        patch[:, d, h, w] = inside
        return patch


def small_integers(labels: Tensor) -> Tensor:
    """Return labels as uint8 if they fit, else as int32."""
    return labels.to(torch.uint8 if labels.max() <= torch.iinfo(torch.uint8).max else torch.int32)
