"""The share of each label in a voxel, so that labels can be interpolated like an image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.transforms import MapTransform
from monai.utils import convert_to_tensor


class LabelsToSharesd(MapTransform):
    """A channel for each label that occurs: 1 where it is, 0 elsewhere.

    MONAI's `AsDiscreted` makes one for every label there may be: of a hundred, a patch has a few, and all have to be
    interpolated. The numbers of those that occur go to the entry `<key>_numbers`, for `SharesToLabelsd`.

    Args:
        keys: entries with labels (1, D, H, W).
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        done = dict(data)
        for key in self.key_iterator(done):
            numbers = convert_to_tensor(done[key], track_meta=False).unique()  # ascending
            done[numbers_of(key)] = numbers
            done[key] = (done[key] == numbers.view(-1, 1, 1, 1)).to(numbers.dtype)
        return done


class SharesToLabelsd(MapTransform):
    """The label with the greatest share in a voxel, the lowest of equals: the inverse of `LabelsToSharesd`.

    Args:
        keys: entries with shares (K, D, H, W), which become labels (1, D, H, W).
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        done = dict(data)
        for key in self.key_iterator(done):
            done[key] = done.pop(numbers_of(key))[done[key].argmax(dim=0, keepdim=True)]
        return done


def numbers_of(key: Hashable) -> str:
    """The entry with the numbers of the labels that have shares."""
    return f"{key}_numbers"
