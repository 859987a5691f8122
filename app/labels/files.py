"""Read label maps from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from monai.data import MetaTensor
from numpy.typing import NDArray

from hybridseg.transforms.io.load import LoadVolumed

from .label_maps import LabelMap, compact_labels

LOAD = LoadVolumed(["labels"], label_keys=["labels"])


def load_labels(path: Path) -> tuple[LabelMap, NDArray[np.floating]]:
    """Load a label map (X, Y, Z) and its affine (4, 4), from voxel indices to RAS mm.

    Raises:
        ValueError: the file is not a label map.
    """
    volume: MetaTensor = LOAD({"labels": str(path)})["labels"]
    return compact_labels(volume[0]), volume.affine.numpy()
