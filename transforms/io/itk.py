"""NRRD and MetaImage through SimpleITK: the header, and the voxels once the file is known to be complete."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import SimpleITK as sitk
from monai.data import ImageReader
from monai.utils import ensure_tuple
from numpy.typing import NDArray

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.grid import LPS_TO_RAS

from .header import VolumeHeader
from .itk_stored import find_stored_voxels, read_fields
from .metadata import squeeze_extra_axes, volume_metadata
from .names import ITK_EXTENSIONS, volume_extension

ITK_READERS = {".nrrd": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
"""Set by hand, since ITK recognises a MetaImage by an extension in lower case only."""

KEPT_NRRD_FIELDS = ("type", "space", "space dimension", "space origin", "endian", "encoding")
"""Fields of a NRRD header that do not depend on the number of its axes."""

STANDARD_ERROR = 2


def read_itk_header(path: Path) -> VolumeHeader:
    """Read the header of a NRRD or MetaImage file.

    Raises:
        VolumeError: the header is invalid; see `find_stored_voxels`.
        Exception: any of those that readers raise; see `unreadable_is_volume_error`.
    """
    reader = sitk.ImageFileReader()
    reader.SetImageIO(ITK_READERS[volume_extension(path)])
    stored = find_stored_voxels(path)
    with readable_by_itk(path) as file, quiet_itk():
        reader.SetFileName(os.fspath(file))
        reader.ReadImageInformation()
    if reader.GetSpacing() and min(reader.GetSpacing()) < 0:
        raise VolumeError(path, f"spacing {reader.GetSpacing()}", "must be above 0")
    size, components = reader.GetSize(), reader.GetNumberOfComponents()
    voxel_type = sitk.GetPixelIDValueAsString(reader.GetPixelID())  # such as "vector of 16-bit signed integer"
    bits = int(voxel_type.split("-bit")[0].split()[-1])
    voxel_bytes = math.prod(size) * components * bits // 8
    return VolumeHeader(
        shape=size if components == 1 else (*size, components),
        voxel_type=voxel_type,
        is_numeric=not voxel_type.startswith("complex"),
        affine=itk_affine(reader),
        voxel_bytes=voxel_bytes,
        capacity=None if stored is None else stored.capacity,
        surplus=0 if stored is None else stored.surplus(voxel_bytes),
    )


class SimpleITKReader(ImageReader):
    """Reads NRRD and MetaImage through SimpleITK.

    MONAI's ITKReader cannot read int8, int64 (which numpy's integers are saved as) or more than five channels, and
    takes seconds to import.
    """

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Return whether this reader is for the file."""
        return volume_extension(ensure_tuple(filename)[0]) in ITK_EXTENSIONS

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> sitk.Image:
        """Read one file; the length and the checksum of compressed voxels are verified first."""
        path = Path(ensure_tuple(data)[0])
        stored = find_stored_voxels(path)
        if stored is not None:
            stored.verify(read_itk_header(path).voxel_bytes)
        # ITK has nothing to complain about in a file whose uncompressed voxels are all there.
        is_plain = stored is not None and not stored.compressed
        with readable_by_itk(path) as file, nullcontext() if is_plain else quiet_itk():
            return sitk.ReadImage(file, imageIO=ITK_READERS[volume_extension(path)])

    def get_data(self, img: sitk.Image) -> tuple[NDArray[Any], dict[str, Any]]:
        """Return voxels (X, Y, Z) or (X, Y, Z, C), and the metadata that MONAI expects, with the affine in RAS mm."""
        array = sitk.GetArrayViewFromImage(img)  # (..., Z, Y, X), then the components of a voxel if it has several
        has_components = img.GetNumberOfComponentsPerPixel() > 1
        array = np.moveaxis(array.T, 0, -1) if has_components else array.T
        array = squeeze_extra_axes(array)
        return array, volume_metadata(array, itk_affine(img))


def itk_affine(image: sitk.Image | sitk.ImageFileReader) -> NDArray[np.float64]:
    """Return the affine (4, 4) from voxel indices of the first three axes to RAS mm; the identity for fewer axes."""
    affine = np.eye(4)
    dimension = image.GetDimension()
    if dimension >= 3:
        direction = np.reshape(image.GetDirection(), (dimension, dimension))[:3, :3]
        affine[:3, :3] = direction * np.asarray(image.GetSpacing()[:3])
        affine[:3, 3] = image.GetOrigin()[:3]
    return LPS_TO_RAS @ affine


@contextmanager
def readable_by_itk(path: Path) -> Iterator[Path]:
    """Yield a file; or a header in its place, if it is a NRRD with last axes of one voxel that are not in space.

    ITK does not read such files, for example with a time axis, unless time is a dimension of the space.

    Raises:
        VolumeError: see `read_fields`.
    """
    fields, header_bytes = read_fields(path)
    directions = re.findall(r"\([^)]*\)|none", fields.get("space directions", ""))
    sizes = fields.get("sizes", "").split()
    axes = len(sizes)
    while axes > 1 and len(directions) == len(sizes) and directions[axes - 1] == "none" and sizes[axes - 1] == "1":
        axes -= 1
    if axes == len(sizes) or {"data file", "datafile"} & fields.keys():
        yield path
        return
    kept = {name: fields[name] for name in KEPT_NRRD_FIELDS if name in fields}
    kept |= {"dimension": str(axes), "sizes": " ".join(sizes[:axes]), "space directions": " ".join(directions[:axes])}
    with path.open("rb") as file:
        kept["line skip"] = str(file.read(header_bytes).count(b"\n"))
    kept["data file"] = os.fspath(path.absolute())
    with TemporaryDirectory() as folder:
        header = Path(folder) / "header.nrrd"
        header.write_bytes("".join(["NRRD0005\n", *(f"{name}: {value}\n" for name, value in kept.items())]).encode())
        yield header


@contextmanager
def quiet_itk() -> Iterator[None]:
    """Keep ITK from printing about a broken file: it writes to the process's standard error, past Python's.

    Other threads that print by tqdm wait for the block to end, so none of their output is lost.
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


def terminal_lock() -> AbstractContextManager[object]:
    """Return the lock that tqdm holds while it prints; without tqdm nothing else prints."""
    try:
        from tqdm import tqdm
    except ImportError:
        return nullcontext()
    return tqdm.get_lock()
