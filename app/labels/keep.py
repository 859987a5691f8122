"""Keep some labels of a label map, or the largest component of each."""

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


def keep_largest_components(labels: LabelMap) -> None:
    """Keep only the largest face-connected component of each label, in place; of equal ones the first."""
    every = range(1, int(labels.max()) + 1)
    remove_components(labels, [ComponentRule(labels=[label], largest=True) for label in every], voxel_mm3=1.0)
