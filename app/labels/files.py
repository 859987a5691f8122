"""Label maps in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from monai.data import MetaTensor
from numpy.typing import NDArray

from hybridseg.transforms.io.load import LoadVolumed

from .label_maps import Labels, compact_labels

LOAD = LoadVolumed(["labels"], label_keys=["labels"])


def load_labels(path: Path) -> tuple[Labels, NDArray[np.floating]]:
    """Labels (X, Y, Z) of a file, and the affine (4, 4) from their indices to RAS mm.

    Raises:
        ValueError: the file is no label map.
    """
    volume: MetaTensor = LOAD({"labels": str(path)})["labels"]
    return compact_labels(volume[0]), volume.affine.numpy()
