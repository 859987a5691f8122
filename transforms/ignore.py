"""Voxels without annotation: those of the ignore label, as nnU-Net calls it.

Where only some slices or structures of a volume were annotated, all other voxels have this label. It is the highest
label of a dataset, so its number in a network is one above that of the last class. The loss and the metrics leave these
voxels out.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform


class ClearIgnoredd(MapTransform):
    """Set voxels without annotation to 0 in label maps, predictions and masks of regions, so that metrics skip them.

    Logits become equal there, and argmax takes the first class, the background.

    Args:
        keys: entries (C, D, H, W) on one grid.
        label_key: the entry among them whose first channel has the ignore label.
        ignore: number of the ignore label.
        allow_missing_keys: skip keys that a case lacks.
    """

    def __init__(self, keys: KeysCollection, label_key: str, ignore: int, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_key = label_key
        self.ignore = ignore

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        case = dict(data)
        ignored = case[self.label_key][:1] == self.ignore
        for key in self.key_iterator(case):
            case[key] = case[key].masked_fill(ignored.to(case[key].device), 0)
        return case
