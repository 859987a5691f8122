"""NRRD and MetaImage by SimpleITK: the header, and the voxels once the file is known to be whole."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from monai.data import ImageReader
from monai.utils import ensure_tuple
from numpy.typing import NDArray

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.grid import LPS_TO_RAS

from .header import VolumeHeader
from .itk_stored import find_stored_voxels
from .metadata import squeezed, volume_metadata
from .names import ITK_EXTENSIONS, volume_extension

ITK_READERS = {".nrrd": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
"""Told to ITK, which knows a MetaImage by an extension in lower case only."""


STANDARD_ERROR = 2


def terminal_lock() -> AbstractContextManager[object]:
    """What tqdm holds while it prints; without tqdm nobody else does."""
    try:
        from tqdm import tqdm
    except ImportError:
        return nullcontext()
    return tqdm.get_lock()


@contextmanager
def quiet_itk() -> Iterator[None]:
    """Keep ITK from printing about a broken file: it writes to the process's standard error, past Python's.

    Lines and bars that other threads print by tqdm wait as long, so that none is lost.
    """
    with terminal_lock():
        sys.stderr.flush()
        kept = os.dup(STANDARD_ERROR)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, STANDARD_ERROR)
            yield
        finally:
            os.dup2(kept, STANDARD_ERROR)
            os.close(kept)
            os.close(nowhere)


def itk_affine(image: sitk.Image | sitk.ImageFileReader) -> NDArray[np.float64]:
    """Affine (4, 4) from voxel indices of the first three axes to RAS mm; the identity for an image of fewer axes."""
    affine = np.eye(4)
    dimension = image.GetDimension()
    if dimension >= 3:
        direction = np.reshape(image.GetDirection(), (dimension, dimension))[:3, :3]
        affine[:3, :3] = direction * np.asarray(image.GetSpacing()[:3])
        affine[:3, 3] = image.GetOrigin()[:3]
    return LPS_TO_RAS @ affine


def read_itk_header(path: Path) -> VolumeHeader:
    reader = sitk.ImageFileReader()
    reader.SetFileName(os.fspath(path))
    reader.SetImageIO(ITK_READERS[volume_extension(path)])
    stored = find_stored_voxels(path)
    with quiet_itk():
        reader.ReadImageInformation()
    if reader.GetSpacing() and min(reader.GetSpacing()) < 0:
        raise VolumeError(path, f"spacing {reader.GetSpacing()}", "must be above 0")
    size, components = reader.GetSize(), reader.GetNumberOfComponents()
    voxel_type = sitk.GetPixelIDValueAsString(reader.GetPixelID())  # such as "vector of 16-bit signed integer"
    bits = int(voxel_type.split("-bit")[0].split()[-1])
    return VolumeHeader(
        shape=size if components == 1 else (*size, components),
        voxel_type=voxel_type,
        is_numeric=not voxel_type.startswith("complex"),
        affine=itk_affine(reader),
        voxel_bytes=math.prod(size) * components * bits // 8,
        capacity=None if stored is None else stored.capacity,
    )


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
