"""Keep some labels of a label map, and of each the largest component, or those that are large enough."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from hybridseg.transforms.components import ComponentRule, remove_components

from .label_maps import LabelMap


def keep_labels(labels: LabelMap, kept: Collection[int]) -> LabelMap:
    """Set all labels except `kept` to background; return the same array if there is nothing to change."""
    table = np.zeros(int(labels.max()) + 1, dtype=labels.dtype)
    for label in kept:
        table[label : label + 1] = label
    return labels if (table == np.arange(len(table))).all() else table[labels]


def keep_components(
    labels: LabelMap, *, largest: bool = False, smallest_mm3: float | None = None, voxel_mm3: float = 1.0
) -> None:
    """Remove face-connected components of each label, in place; see `ComponentRule`.

    Args:
        labels: (X, Y, Z).
        largest: keep the largest component of each label only; of equal ones the first.
        smallest_mm3: remove components below this volume, in mm³.
        voxel_mm3: volume of a voxel, in mm³.
    """
    if not largest and smallest_mm3 is None:
        return
    every = range(1, int(labels.max()) + 1)
    rules = [ComponentRule(labels=[label], largest=largest, smallest_mm3=smallest_mm3 or 0.0) for label in every]
    remove_components(labels, rules, voxel_mm3)
