"""Readers of MONAI's kind that stop at damage which its own let pass."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from monai.data import ImageReader
from monai.utils import MetaKeys, SpaceKeys, ensure_tuple
from nibabel.arrayproxy import ArrayProxy
from nibabel.fileholders import FileHolder
from numpy.typing import NDArray

from .cases import ITK_EXTENSIONS, NIFTI_EXTENSIONS, volume_extension
from .gzip_files import open_gzip
from .headers import ITK_READERS, NiftiImage, itk_affine, open_nifti, quiet_itk, quiet_nibabel
from .stored import CHUNK_BYTES, find_stored_voxels

PathLike = str | os.PathLike[str]


class NiftiReader(ImageReader):
    """NIfTI through nibabel; a compressed file is read to its end, where the checksum is.

    The affine is nibabel's (sform where its code is set, otherwise qform). MONAI's NibabelReader may replace it with a
    warning when the voxel sizes disagree with it, and puts the voxels into another order, which takes longer than
    decompressing them.
    """

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Whether this reader is for the file."""
        return volume_extension(ensure_tuple(filename)[0]) in NIFTI_EXTENSIONS

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> NiftiImage:
        """Open one file; its voxels are read by `get_data`."""
        return open_nifti(ensure_tuple(data)[0])

    def get_data(self, img: NiftiImage) -> tuple[NDArray[Any], dict[str, Any]]:
        """Give voxels (X, Y, Z) or (X, Y, Z, C), and the metadata that MONAI expects."""
        path = img.get_filename() or ""
        if path.lower().endswith(".gz"):
            with open_gzip(path) as stream:
                with quiet_nibabel():
                    streamed = type(img).from_file_map({"image": FileHolder(fileobj=stream)})
                array = voxels(streamed)
                while stream.read(CHUNK_BYTES):
                    pass
        else:
            array = voxels(img)
        array = squeezed(array)
        return array, volume_metadata(array, np.array(img.affine, dtype=np.float64))


def voxels(image: NiftiImage) -> NDArray[Any]:
    """The voxels of an image as they are stored, or as float32 where the header scales them."""
    assert isinstance(image.dataobj, ArrayProxy)  # not read yet
    scaled = image.dataobj.slope != 1 or image.dataobj.inter != 0
    return np.asarray(image.dataobj, dtype=np.float32 if scaled else None)


def squeezed(array: NDArray[Any]) -> NDArray[Any]:
    """Without those axes beyond the third that have length 1."""
    return array.squeeze(tuple(axis for axis in range(3, array.ndim) if array.shape[axis] == 1))


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
        # What is there uncompressed, to the last byte, gives ITK nothing to complain about.
        is_plain = stored is not None and not stored.compressed
        with nullcontext() if is_plain else quiet_itk():
            return sitk.ReadImage(path, imageIO=ITK_READERS[volume_extension(path)])

    def get_data(self, img: sitk.Image) -> tuple[NDArray[Any], dict[str, Any]]:
        """Give voxels (X, Y, Z) or (X, Y, Z, C), and the metadata that MONAI expects, with the affine in RAS mm."""
        array = sitk.GetArrayViewFromImage(img)  # (..., Z, Y, X), and then the components of a voxel if it has several
        has_components = img.GetNumberOfComponentsPerPixel() > 1
        array = np.moveaxis(array.T, 0, -1) if has_components else array.T
        array = squeezed(array)
        return array, volume_metadata(array, itk_affine(img))


def volume_metadata(array: NDArray[Any], affine: NDArray[np.float64]) -> dict[str, Any]:
    """The metadata that MONAI expects with voxels (X, Y, Z) or (X, Y, Z, C) and their affine (4, 4) to RAS mm."""
    return {
        MetaKeys.AFFINE: affine,
        MetaKeys.ORIGINAL_AFFINE: affine.copy(),
        MetaKeys.SPATIAL_SHAPE: np.asarray(array.shape[:3]),
        MetaKeys.SPACE: SpaceKeys.RAS,
        MetaKeys.ORIGINAL_CHANNEL_DIM: float("nan") if array.ndim == 3 else -1,
    }
