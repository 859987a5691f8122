"""Regions that overlap, such as a tumour's core within the whole tumour: from labels to regions, and their labels back.

A bundle names them in order, each with its labels: `{"whole tumour": [1, 2, 3], "tumour core": [2, 3]}`. A network has
one output for each region, by a sigmoid, and none for the background. To get a label map again the regions are laid
over each other in their order, each with one label, the later ones on top: nnU-Net's `regions_class_order` (Isensee et
al. 2021), which is not given here but follows from the regions.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from torch import Tensor

from .grid import GREATEST_LABEL

Regions = Mapping[str, Sequence[int]]
"""The labels of each region by its name, larger regions before those within them."""


def region_labels(regions: Regions) -> tuple[int, ...]:
    """The label that each region writes: the one of its labels that no later region holds.

    Exactly one may be left for each region. Then true regions, written in their order, give the true labels again.

    Args:
        regions: the labels of each region.

    Returns:
        One label for each region, all different.

    Raises:
        ValueError: there are no regions, labels are not whole numbers from 1 to 65535, or a region's labels are all in
            later regions, or more than one of them is in none.

    Examples:
        >>> from hybridseg.transforms.regions import region_labels
        >>> region_labels({"whole tumour": [1, 2, 3], "tumour core": [2, 3], "enhancing tumour": [3]})
        (1, 2, 3)
        >>> region_labels({"kidney and masses": [1, 2, 3], "masses": [2, 3], "tumour": [2]})
        (1, 3, 2)
    """
    if not regions:
        raise ValueError("regions: none: at least one is needed")
    for name, labels in regions.items():
        whole = isinstance(labels, Sequence) and all(type(label) is int for label in labels)
        if not whole or not labels or not 1 <= min(labels) <= max(labels) <= GREATEST_LABEL:
            raise ValueError(f"regions: {name!r}: {labels!r}: must be labels, whole numbers from 1 to {GREATEST_LABEL}")
    held: set[int] = set()
    written = []
    for name, labels in list(regions.items())[::-1]:
        own = sorted(set(labels) - held)
        if len(own) != 1:
            left = ", ".join(map(str, own)) or "none"
            rule = "one of a region's labels, and no more, must be in no later region: it is what the region writes"
            raise ValueError(f"regions: {name!r}: {list(labels)}, of which {left} in no later region: {rule}")
        held.update(labels)
        written.append(own[0])
    return tuple(reversed(written))


def check_region_labels(labels: Sequence[int], regions: Mapping[str, Sequence[int]]) -> None:
    """Refuse labels of which a network cannot be made.

    Args:
        labels: without the background, in order.
        regions: the labels of each region; empty where labels do not overlap.

    Raises:
        ValueError: labels are missing in between, or regions do not tell them apart.
    """
    if list(labels) != list(range(1, len(labels) + 1)):
        raise ValueError(f"labels: {', '.join(map(str, labels))}: must be 1 to the number of labels, none missing")
    if regions:
        region_labels(regions)


class LabelsToRegionsd(MapTransform):
    """Replace labels (1, D, H, W) by regions (R, D, H, W): float32, 1 inside of a region and 0 outside.

    MONAI's ConvertToMultiChannelBasedOnBratsClassesd does it for the labels and regions of BraTS only.

    Args:
        keys: entries that hold labels.
        regions: the labels of each region.
        allow_missing_keys: whether a case may lack some of the keys.

    Raises:
        ValueError: when made with regions from which labels cannot be told; see `region_labels`.
    """

    def __init__(self, keys: KeysCollection, regions: Regions, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        region_labels(regions)
        self.regions = [torch.tensor(labels) for labels in regions.values()]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        case = dict(data)
        for key in self.key_iterator(case):
            labels: Tensor = case[key]
            masks = [torch.isin(labels, members.to(labels)) for members in self.regions]
            case[key] = torch.cat(masks).float()
        return case
