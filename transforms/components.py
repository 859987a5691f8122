"""Remove connected components from label maps: all but the largest of a label, or those below a volume.

Which rules help is decided by a cross-validation (`hybridseg crossval`), as in nnU-Net (Isensee et al. 2021), and
written into the bundle, so that every way of prediction follows them. scipy is imported only for that: packed bundles
without such rules run without it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from numpy.typing import NDArray

from .grid import voxel_volume_ml

Box = tuple[slice, ...]


@dataclass(frozen=True, kw_only=True)
class ComponentRule:
    """Which connected components of a label, or of several labels taken as one, are kept.

    Voxels are connected by their faces.

    Args:
        labels: the labels; their voxels form one mask.
        largest: keep the largest component only; of equal ones the first.
        smallest_mm3: remove components below this volume, in mm³.
        becomes: label that removed voxels get: 0, or for a region that of the region around it.

    Raises:
        ValueError: there are no labels, the volume is negative, or the rule keeps every component.
    """

    labels: Sequence[int]
    largest: bool = False
    smallest_mm3: float = 0.0
    becomes: int = 0

    def __post_init__(self) -> None:
        if not self.labels or min(self.labels) < 1:
            raise ValueError(f"labels: {list(self.labels)}: must be labels from 1")
        if not self.smallest_mm3 >= 0:
            raise ValueError(f"smallest_mm3: {self.smallest_mm3}: must be a volume in mm3")
        if not self.largest and not self.smallest_mm3:
            raise ValueError(f"labels: {list(self.labels)}: must have largest or smallest_mm3")

    def removed(self, voxels: NDArray[np.integer], voxel_mm3: float) -> NDArray[np.bool_]:
        """Return which components are removed.

        Args:
            voxels: number of voxels of each component.
            voxel_mm3: volume of a voxel, in mm³.
        """
        removed: NDArray[np.bool_] = voxels * voxel_mm3 < self.smallest_mm3
        if self.largest and len(voxels):
            removed = removed | (np.arange(len(voxels)) != voxels.argmax())
        return removed


def remove_components(labels: NDArray[np.integer], rules: Sequence[ComponentRule], voxel_mm3: float) -> None:
    """Remove components from a label map, in place, rule by rule.

    Args:
        labels: (X, Y, Z); 0 is the background.
        rules: what to keep.
        voxel_mm3: volume of a voxel, in mm³.
    """
    from scipy import ndimage

    boxes = ndimage.find_objects(labels)
    for rule in rules:
        if (box := enclosing(boxes, rule.labels)) is None:
            continue
        components, voxels = find_components(labels[box], rule.labels)
        removed = rule.removed(voxels, voxel_mm3)
        if removed.any():
            labels[box][np.concatenate([[False], removed])[components]] = rule.becomes
        if rule.becomes:
            boxes = ndimage.find_objects(labels)


def find_components(
    labels: NDArray[np.integer], members: Sequence[int]
) -> tuple[NDArray[np.int32], NDArray[np.integer]]:
    """Number the components of some labels taken as one.

    Args:
        labels: (X, Y, Z).
        members: the labels.

    Returns:
        The number of the component at each voxel, from 1, 0 outside, and the voxels of each component.
    """
    from scipy import ndimage

    mask = labels == members[0] if len(members) == 1 else np.isin(labels, members)
    components = np.zeros(mask.shape, dtype=np.int32)
    ndimage.label(mask, output=components)
    return components, np.bincount(components.ravel())[1:]


def enclosing(boxes: Sequence[Box | None], members: Sequence[int]) -> Box | None:
    """Return the smallest box around labels from the boxes of all labels, from 1; None if none of them occurs."""
    found = [box for label in members if label <= len(boxes) and (box := boxes[label - 1]) is not None]
    if not found:
        return None
    return tuple(
        slice(min(side.start for side in sides), max(side.stop for side in sides)) for sides in zip(*found, strict=True)
    )


class RemoveComponentsd(MapTransform):
    """Remove components from label maps (1, X, Y, Z), MetaTensors with an affine to mm.

    Args:
        keys: entries that hold label maps.
        rules: fields of a `ComponentRule` each, as a bundle's config has them.
        allow_missing_keys: skip keys that a case lacks.

    Raises:
        ValueError: a rule is invalid, or has an unknown field.
    """

    def __init__(
        self, keys: KeysCollection, rules: Sequence[Mapping[str, Any]], allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        for rule in rules:
            if unknown := set(rule) - set(ComponentRule.__dataclass_fields__):
                known = ", ".join(ComponentRule.__dataclass_fields__)
                raise ValueError(f"components: {min(unknown)!r}: must be one of {known}")
        self.rules = [ComponentRule(**rule) for rule in rules]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        case = dict(data)
        for key in self.key_iterator(case):
            volume: MetaTensor = case[key]
            labels = volume.as_tensor()[0].cpu().numpy().copy()
            remove_components(labels, self.rules, 1000 * voxel_volume_ml(volume.affine.cpu().numpy()))
            case[key] = MetaTensor(torch.from_numpy(labels)[None], meta=dict(volume.meta))
        return case
