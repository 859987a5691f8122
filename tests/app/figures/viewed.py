"""A viewer for the tests, and its pictures as arrays."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from PIL import Image

from hybridseg.app.figures.viewer import SliceViewer

NAMES = {1: "liver", 2: "<spleen>"}
SHAPE = (30, 20, 10)
LABELS = np.zeros(SHAPE)
LABELS[5:12, 4:12, 2:8] = 1
LABELS[18:24, 8:15, 3:6] = 2


def volume(values: Any) -> MetaTensor:
    """Return a volume (1, X, Y, Z) of voxels 1 x 2 x 3 mm, with axes to the left, anterior and superior."""
    affine = torch.diag(torch.tensor([-1.0, 2.0, 3.0, 1.0], dtype=torch.float64))
    return MetaTensor(torch.as_tensor(np.asarray(values), dtype=torch.float32)[None], affine=affine)


def make_viewer() -> SliceViewer:
    """Return a viewer of two labels of different brightness, with a reference shifted by a voxel."""
    reference = volume(np.roll(LABELS, 1, 1))
    return SliceViewer(volume(100 * LABELS), volume(LABELS), reference=reference, label_names=NAMES)


def pixels(file: bytes) -> np.ndarray:
    """Decode a picture to RGB (rows, columns, 3), 0 to 1."""
    return np.asarray(Image.open(BytesIO(file)).convert("RGB")) / 255
