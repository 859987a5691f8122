"""Overlapping regions, such as a tumour core within the whole tumour: labels to regions, and back.

A bundle lists regions in order with their labels: `{"whole tumour": [1, 2, 3], "tumour core": [2, 3]}`. A network has
one sigmoid output per region and none for the background. To get a label map back, each region writes one label, in
order, later regions over earlier ones. This is nnU-Net's `regions_class_order` (Isensee et al. 2021), derived: here the
first label of a region that no later region has; `regions_class_order` of a dataset puts another first.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from torch import Tensor

from .grid import GREATEST_LABEL
from .label_values import label_values

Regions = Mapping[str, Sequence[int]]
"""Labels of each region by its name, larger regions before those inside them."""


def region_labels(regions: Regions) -> tuple[int, ...]:
    """Return the label that each region writes: the first of its labels that no later region has.

    Where each region has exactly one, reference regions, written in order, give the reference labels again. Where a
    region has several, these become one label, as 2 and 3 in the last example; the regions stay as they are.

    Args:
        regions: labels of each region.

    Returns:
        One label per region, all different.

    Raises:
        ValueError: there are no regions, labels are not integers from 1 to 65535, or a region has no label that no
            later region has.

    Examples:
        >>> from hybridseg.transforms.regions import region_labels
        >>> region_labels({"whole tumour": [1, 2, 3], "tumour core": [2, 3], "enhancing tumour": [3]})
        (1, 2, 3)
        >>> region_labels({"kidney and masses": [1, 2, 3], "masses": [2, 3], "tumour": [2]})
        (1, 3, 2)
        >>> region_labels({"whole tumour": [1, 2, 3, 4], "tumour core": [1, 2, 3], "enhancing tumour": [1]})
        (4, 2, 1)
    """
    if not regions:
        raise ValueError("regions: none: at least one is needed")
    for name, labels in regions.items():
        integers = isinstance(labels, Sequence) and all(type(label) is int for label in labels)
        if not integers or not labels or not 1 <= min(labels) <= max(labels) <= GREATEST_LABEL:
            raise ValueError(f"regions: {name!r}: {labels!r}: must be labels, integers from 1 to {GREATEST_LABEL}")
    own = own_labels(regions)
    for name, labels in own.items():
        if not labels:
            rule = "must have a label that is in no later region, which the region writes"
            raise ValueError(f"regions: {name!r}: {list(regions[name])}, all in later regions: {rule}")
    return tuple(labels[0] for labels in own.values())


def own_labels(regions: Regions) -> dict[str, list[int]]:
    """Return the labels of each region that no later region has."""
    later = [set(labels) for labels in regions.values()]
    return {
        name: [label for label in labels if label not in set().union(*later[index:])]
        for index, (name, labels) in enumerate(regions.items(), 1)
    }


def order_regions(regions: Regions) -> dict[str, Sequence[int]]:
    """Return regions with those of more labels first, so that each comes before the regions inside it.

    Examples:
        >>> order_regions({"enhancing tumour": [3], "whole tumour": [1, 2, 3], "tumour core": [2, 3]})
        {'whole tumour': [1, 2, 3], 'tumour core': [2, 3], 'enhancing tumour': [3]}
    """
    return dict(sorted(regions.items(), key=lambda region: -len(region[1])))


class LabelsToRegionsd(MapTransform):
    """Replace labels (1, D, H, W) by regions (R, D, H, W): float32, 1 inside a region and 0 outside.

    MONAI's ConvertToMultiChannelBasedOnBratsClassesd does this for the labels and regions of BraTS only.

    Args:
        keys: entries that hold labels.
        regions: labels of each region.
        labels: the values of all labels, such as the keys of `label_names`, if label maps have their numbers instead,
            as preprocessing gives them. None if label maps have the values.
        ignore: number of the voxels without annotation: all their regions get it, instead of 0 or 1.
        allow_missing_keys: skip keys that a case lacks.

    Raises:
        ValueError: the regions are invalid, see `region_labels`, or have a value that is not among the labels.
    """

    def __init__(
        self,
        keys: KeysCollection,
        regions: Regions,
        labels: Iterable[int | str] | None = None,
        ignore: int | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        region_labels(regions)
        values = sorted({label for members in regions.values() for label in members})
        numbers = {value: value for value in values}
        if labels is not None:
            numbers = {value: number for number, value in enumerate(label_values(labels), 1)}
        if unknown := [value for value in values if value not in numbers]:
            raise ValueError(f"regions: {unknown}: must be among the labels {', '.join(map(str, numbers))}")
        self.regions = [torch.tensor([numbers[label] for label in members]) for members in regions.values()]
        self.ignore = ignore

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        case = dict(data)
        for key in self.key_iterator(case):
            labels: Tensor = case[key]
            masks = [torch.isin(labels, members.to(labels)) for members in self.regions]
            case[key] = torch.cat(masks).float()
            if self.ignore is not None:
                case[key] = case[key].masked_fill(labels == self.ignore, float(self.ignore))
        return case
