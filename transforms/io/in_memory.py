"""Volumes that are already in memory, as a server such as MONAI Deploy hands them to a bundle."""

from __future__ import annotations

from typing import Any

import numpy as np
from monai.data import ImageReader, MetaTensor
from monai.utils import MetaKeys, SpaceKeys
from numpy.typing import NDArray

from hybridseg.transforms.errors import VolumeError

from .header import VolumeHeader
from .metadata import squeeze_extra_axes, volume_metadata

NAME = "volume in memory"
"""Stands for the path in errors."""


class MemoryReader(ImageReader):
    """Returns the voxels of a MetaTensor as a reader of files does.

    Args:
        volume: (X, Y, Z) or (C, X, Y, Z), with an affine from voxel indices to RAS mm.

    Raises:
        VolumeError: the affine is to another space than RAS.
    """

    def __init__(self, volume: MetaTensor) -> None:
        space = volume.meta.get(MetaKeys.SPACE, SpaceKeys.RAS)
        if space != SpaceKeys.RAS:
            raise VolumeError(NAME, f"affine to {space} mm", "must be to RAS mm")
        voxels = volume.as_tensor().cpu().float().numpy()
        self.voxels = squeeze_extra_axes(voxels if voxels.ndim < 4 else np.moveaxis(voxels, 0, -1))
        self.affine = np.asarray(volume.affine.cpu(), dtype=np.float64)

    @property
    def header(self) -> VolumeHeader:
        """The header that a file with these voxels would have."""
        return VolumeHeader(
            shape=self.voxels.shape,
            voxel_type=str(self.voxels.dtype),
            is_numeric=True,
            affine=self.affine,
            voxel_bytes=self.voxels.nbytes,
            capacity=None,
        )

    def verify_suffix(self, filename: Any) -> bool:
        """Return True: there is no file."""
        return True

    def read(self, data: Any, **kwargs: Any) -> NDArray[np.float32]:
        """Return the voxels; `data`, the path that MONAI passes, is ignored."""
        return self.voxels

    def get_data(self, img: NDArray[np.float32]) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Return voxels (X, Y, Z) or (X, Y, Z, C), and the metadata that MONAI expects."""
        return img, volume_metadata(img, self.affine)
