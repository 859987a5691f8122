"""Keep some labels of a label map, or the largest component of each."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from scipy import ndimage

from .label_maps import Labels


def keep_labels(labels: Labels, kept: Collection[int]) -> Labels:
    """The label map with background in place of all labels but some."""
    table = np.zeros(int(labels.max()) + 1, dtype=labels.dtype)
    for label in kept:
        table[label : label + 1] = label
    return labels if (table == np.arange(len(table))).all() else table[labels]


def keep_largest_components(labels: Labels) -> None:
    """Leave of each label its largest piece, connected by faces; the first of equals. Changes the label map."""
    for index, box in enumerate(ndimage.find_objects(labels)):
        if box is None:
            continue
        mask = labels[box] == index + 1
        pieces = np.zeros(mask.shape, dtype=np.int32)
        ndimage.label(mask, output=pieces)
        sizes = np.bincount(pieces.ravel())[1:]
        if len(sizes) > 1:
            labels[box][mask & (pieces != 1 + int(sizes.argmax()))] = 0
