"""Keep some labels of a label map, or the largest component of each."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from scipy import ndimage

from .label_maps import LabelMap


def keep_labels(labels: LabelMap, kept: Collection[int]) -> LabelMap:
    """Set all labels except `kept` to background; return the same array if there is nothing to change."""
    table = np.zeros(int(labels.max()) + 1, dtype=labels.dtype)
    for label in kept:
        table[label : label + 1] = label
    return labels if (table == np.arange(len(table))).all() else table[labels]


def keep_largest_components(labels: LabelMap) -> None:
    """Keep only the largest face-connected component of each label, in place; of equal ones the first."""
    for index, box in enumerate(ndimage.find_objects(labels)):
        if box is None:
            continue
        mask = labels[box] == index + 1
        components = np.zeros(mask.shape, dtype=np.int32)
        ndimage.label(mask, output=components)
        sizes = np.bincount(components.ravel())[1:]
        if len(sizes) > 1:
            labels[box][mask & (components != 1 + int(sizes.argmax()))] = 0
