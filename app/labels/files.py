"""Read label maps from files."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
from monai.data import MetaTensor
from numpy.typing import NDArray

from hybridseg.transforms.errors import PathLike
from hybridseg.transforms.io.load import LoadVolumed
from hybridseg.transforms.io.masks import MaskFile

from .label_maps import LabelMap, compact_labels

LOAD = LoadVolumed(["labels"], label_keys=["labels"])


def load_labels(path: PathLike, *, grid_of: PathLike | None = None) -> tuple[LabelMap, NDArray[np.floating]]:
    """Load a label map (X, Y, Z) and its affine (4, 4), from voxel indices to RAS mm.

    Args:
        path: the file. The contours or masks of a `MaskFile` are put on another label map's grid.
        grid_of: file of that label map.

    Raises:
        ValueError: the file is not a label map.
    """
    if isinstance(path, MaskFile):
        entry: str | MaskFile = replace(path, image=grid_of)
    else:
        entry = os.fspath(path)
    volume: MetaTensor = LOAD({"labels": entry})["labels"]
    return compact_labels(volume[0]), volume.affine.numpy()
