"""Overlapping regions, such as a tumour core within the whole tumour: labels to regions, and back.

A bundle lists regions in order with their labels: `{"whole tumour": [1, 2, 3], "tumour core": [2, 3]}`. A network has
one sigmoid output per region and none for the background. To get a label map back, each region writes one label, in
order, later regions over earlier ones. This is nnU-Net's `regions_class_order` (Isensee et al. 2021), derived here from
the regions instead of given.
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
"""Labels of each region by its name, larger regions before those inside them."""


def region_labels(regions: Regions) -> tuple[int, ...]:
    """Return the label that each region writes: the one of its labels that no later region has.

    Each region must have exactly one. Then reference regions, written in order, give the reference labels again.

    Args:
        regions: labels of each region.

    Returns:
        One label per region, all different.

    Raises:
        ValueError: there are no regions, labels are not integers from 1 to 65535, or a region does not have exactly one
            label that no later region has.

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
        integers = isinstance(labels, Sequence) and all(type(label) is int for label in labels)
        if not integers or not labels or not 1 <= min(labels) <= max(labels) <= GREATEST_LABEL:
            raise ValueError(f"regions: {name!r}: {labels!r}: must be labels, integers from 1 to {GREATEST_LABEL}")
    in_later: set[int] = set()
    written = []
    for name, labels in list(regions.items())[::-1]:
        own = sorted(set(labels) - in_later)
        if len(own) != 1:
            found = f"{list(labels)}, of which {', '.join(map(str, own)) or 'none'} in no later region"
            rule = "must have exactly one label that is in no later region, which the region writes"
            raise ValueError(f"regions: {name!r}: {found}: {rule}")
        in_later.update(labels)
        written.append(own[0])
    return tuple(reversed(written))


def check_region_labels(labels: Sequence[int], regions: Regions) -> None:
    """Check that a network can be built for these labels and regions.

    Args:
        labels: the labels in order, without the background.
        regions: labels of each region; empty if labels do not overlap.

    Raises:
        ValueError: labels are not 1, 2, 3 and so on, or the regions are invalid; see `region_labels`.
    """
    if list(labels) != list(range(1, len(labels) + 1)):
        raise ValueError(f"labels: {', '.join(map(str, labels))}: must be numbered from 1 without gaps")
    if regions:
        region_labels(regions)


class LabelsToRegionsd(MapTransform):
    """Replace labels (1, D, H, W) by regions (R, D, H, W): float32, 1 inside a region and 0 outside.

    MONAI's ConvertToMultiChannelBasedOnBratsClassesd does this for the labels and regions of BraTS only.

    Args:
        keys: entries that hold labels.
        regions: labels of each region.
        allow_missing_keys: skip keys that a case lacks.

    Raises:
        ValueError: the regions are invalid; see `region_labels`.
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
