"""The metadata that MONAI expects with the voxels of a volume."""

from __future__ import annotations

from typing import Any

import numpy as np
from monai.utils import MetaKeys, SpaceKeys
from numpy.typing import NDArray


def squeeze_extra_axes(array: NDArray[Any]) -> NDArray[Any]:
    """Remove the axes of length 1 beyond the third."""
    return array.squeeze(tuple(axis for axis in range(3, array.ndim) if array.shape[axis] == 1))


def volume_metadata(array: NDArray[Any], affine: NDArray[np.float64]) -> dict[str, Any]:
    """Return MONAI's metadata for voxels (X, Y, Z) or (X, Y, Z, C) and their affine (4, 4) to RAS mm."""
    return {
        MetaKeys.AFFINE: affine,
        MetaKeys.ORIGINAL_AFFINE: affine.copy(),
        MetaKeys.SPATIAL_SHAPE: np.asarray(array.shape[:3]),
        MetaKeys.SPACE: SpaceKeys.RAS,
        MetaKeys.ORIGINAL_CHANNEL_DIM: float("nan") if array.ndim == 3 else -1,
    }
