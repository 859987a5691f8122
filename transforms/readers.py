"""Readers that plug into MONAI's LoadImage and stop at damage that the usual ones let pass."""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from monai.data import ImageReader, NibabelReader
from monai.utils import MetaKeys, SpaceKeys, ensure_tuple
from nibabel.fileholders import FileHolder
from numpy.typing import NDArray

from .cases import ITK_EXTENSIONS, volume_extension
from .headers import NiftiImage, itk_affine, open_nifti, quiet_nibabel
from .stored import CHUNK_BYTES, find_stored_voxels

PathLike = str | os.PathLike[str]


class WholeFileNibabelReader(NibabelReader):
    """MONAI's NIfTI reader, except that it reads a compressed file to its end, where the checksum is.

    The affine is nibabel's (sform where its code is set, otherwise qform); MONAI's own reader may replace it with a
    warning when the voxel sizes disagree with it.
    """

    def __init__(self) -> None:
        super().__init__(squeeze_non_spatial_dims=True)

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> NiftiImage:
        """Open one file; its voxels are read by `get_data`."""
        self.filenames = ensure_tuple(data)
        return open_nifti(self.filenames[0])

    def get_data(self, img: NiftiImage) -> tuple[NDArray[Any], dict[str, Any]]:
        """Read voxels (X, Y, Z) or (X, Y, Z, C) and the metadata that MONAI expects."""
        path = img.get_filename() or ""
        if not path.lower().endswith(".gz"):
            return super().get_data(img)
        with gzip.open(path) as stream:
            with quiet_nibabel():
                streamed = type(img).from_file_map({"image": FileHolder(fileobj=stream)})
            array, meta = super().get_data(streamed)
            while stream.read(CHUNK_BYTES):
                pass
        return array, meta


class SimpleITKReader(ImageReader):
    """NRRD and MetaImage through SimpleITK.

    MONAI's ITKReader cannot read int8, int64 (what numpy's integers are saved as) or more than five channels, and
    takes seconds to import.
    """

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Whether this reader is for the file."""
        return volume_extension(ensure_tuple(filename)[0]) in ITK_EXTENSIONS

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> sitk.Image:
        """Read one file, compressed voxels only after their checksum was found right."""
        path = Path(ensure_tuple(data)[0])
        stored = find_stored_voxels(path)
        if stored is not None:
            stored.verify()
        return sitk.ReadImage(path)

    def get_data(self, img: sitk.Image) -> tuple[NDArray[Any], dict[str, Any]]:
        """Give voxels (X, Y, Z) or (X, Y, Z, C), and the metadata that MONAI expects, with the affine in RAS mm."""
        array = sitk.GetArrayViewFromImage(img)  # (..., Z, Y, X), and then the components of a voxel if it has several
        has_components = img.GetNumberOfComponentsPerPixel() > 1
        array = np.moveaxis(array.T, 0, -1) if has_components else array.T
        while array.ndim > 3 and array.shape[-1] == 1:
            array = array[..., 0]
        affine = itk_affine(img)
        return array, {
            MetaKeys.AFFINE: affine,
            MetaKeys.ORIGINAL_AFFINE: affine.copy(),
            MetaKeys.SPATIAL_SHAPE: np.asarray(array.shape[:3]),
            MetaKeys.SPACE: SpaceKeys.RAS,
            MetaKeys.ORIGINAL_CHANNEL_DIM: float("nan") if array.ndim == 3 else -1,
        }
