"""Volumes that are in memory already, as a server hands them to a bundle: MONAI Deploy does."""

from __future__ import annotations

from typing import Any

import numpy as np
from monai.data import ImageReader, MetaTensor
from monai.utils import MetaKeys, SpaceKeys
from numpy.typing import NDArray

from hybridseg.transforms.errors import VolumeError

from .header import VolumeHeader
from .metadata import squeezed, volume_metadata

NAME = "volume in memory"
"""What an error calls it, where a file's would stand."""


class MemoryReader(ImageReader):
    """Gives the voxels of a MetaTensor like those of a file.

    Args:
        volume: (X, Y, Z) or (C, X, Y, Z), whose affine takes voxel indices to RAS mm.

    Raises:
        VolumeError: the affine leads to another space.
    """

    def __init__(self, volume: MetaTensor) -> None:
        space = volume.meta.get(MetaKeys.SPACE, SpaceKeys.RAS)
        if space != SpaceKeys.RAS:
            raise VolumeError(NAME, f"affine to {space} mm", "must be to RAS mm")
        voxels = volume.as_tensor().cpu().float().numpy()
        self.voxels = squeezed(voxels if voxels.ndim < 4 else np.moveaxis(voxels, 0, -1))
        self.affine = np.asarray(volume.affine.cpu(), dtype=np.float64)

    @property
    def header(self) -> VolumeHeader:
        """What a file with these voxels would claim."""
        return VolumeHeader(
            shape=self.voxels.shape,
            voxel_type=str(self.voxels.dtype),
            is_numeric=True,
            affine=self.affine,
            voxel_bytes=self.voxels.nbytes,
            capacity=None,
        )

    def verify_suffix(self, filename: Any) -> bool:
        """True: there is no file."""
        return True

    def read(self, data: Any, **kwargs: Any) -> NDArray[np.float32]:
        """Give the voxels; what MONAI hands to a reader is not looked at."""
        return self.voxels

    def get_data(self, img: NDArray[np.float32]) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Give voxels (X, Y, Z) or (X, Y, Z, C), and the metadata that MONAI expects."""
        return img, volume_metadata(img, self.affine)
