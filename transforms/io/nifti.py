"""NIfTI: the header, checked for errors that nibabel repairs silently, and the voxels, read to the checksum."""

from __future__ import annotations

import logging
import math
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.data import ImageReader
from monai.utils import ensure_tuple
from nibabel.arrayproxy import ArrayProxy
from nibabel.fileholders import FileHolder
from nibabel.openers import ImageOpener
from numpy.typing import NDArray

from hybridseg.transforms.errors import PathLike, VolumeError

from .gzip_files import DEFLATE_RATIO, GZIP_START, open_gzip
from .header import VolumeHeader, surplus_bytes, unreadable_is_volume_error
from .metadata import squeeze_extra_axes, volume_metadata
from .names import NIFTI_EXTENSIONS, volume_extension

NIFTI1_BYTES, NIFTI2_BYTES = 348, 540

PLACES = ((NIFTI1_BYTES, 40, "h", 108, "f"), (NIFTI2_BYTES, 16, "q", 168, "q"))
"""Length of the header, then the places and types of dim[0] and vox_offset."""

LAST_FORM_CODE = 5

LARGEST_OFFSET = 1 << 26
"""Most bytes before the voxels: header and extensions."""

NiftiImage = nib.Nifti1Image | nib.Nifti2Image


def read_nifti_header(path: Path) -> VolumeHeader:
    """Read and check the header of a NIfTI file.

    Raises:
        VolumeError: the file cannot be read, or a field breaks a rule.
    """
    _check_nifti_dimensions(path)
    image = open_nifti(path)
    with ImageOpener(os.fspath(path)) as stream, quiet_nibabel():
        stored = type(image.header).from_fileobj(stream, check=False)  # without nibabel's repairs
    _check_nifti_fields(path, stored)
    voxel_type = np.dtype(image.get_data_dtype())
    affine = np.array(image.affine, dtype=np.float64)
    if stored["sform_code"] == 0:  # then the affine is made from pixdim, where nibabel replaces 0 by 1
        affine[:3, :3][:, stored["pixdim"][1:4] == 0] = 0
    assert isinstance(image.dataobj, ArrayProxy)  # voxels not read yet
    compressed = path.suffix.lower() == ".gz"
    inflated = path.stat().st_size * (DEFLATE_RATIO if compressed else 1)
    voxel_bytes = math.prod(map(int, image.shape)) * voxel_type.itemsize
    return VolumeHeader(
        shape=tuple(map(int, image.shape)),
        voxel_type="RGB" if voxel_type.fields else voxel_type.name,
        is_numeric=voxel_type.kind in "iuf",
        affine=affine,
        voxel_bytes=voxel_bytes,
        capacity=max(0, inflated - image.dataobj.offset),
        surplus=0 if compressed or voxel_bytes <= 0 else surplus_bytes(path, image.dataobj.offset + voxel_bytes),
    )


def open_nifti(path: PathLike) -> NiftiImage:
    """Open a NIfTI-1 or NIfTI-2 image without reading its voxels.

    Raises:
        VolumeError: the file cannot be read, or has another format.
    """
    with unreadable_is_volume_error(path), quiet_nibabel():
        image = nib.load(path)
    if not isinstance(image, NiftiImage):
        raise VolumeError(path, type(image).__name__, "must be a NIfTI-1 or NIfTI-2 volume")
    return image


def _check_nifti_dimensions(path: Path) -> None:
    """Check what nibabel relies on when it reads the header.

    It infers the byte order from the number of axes: a wrong one makes it misread the rest. It reads all extensions, up
    to the first voxel.
    """
    with path.open("rb") as file:
        start = file.read(NIFTI2_BYTES)
    compressed = path.suffix.lower() == ".gz"
    if not compressed and start.startswith(GZIP_START):
        raise VolumeError(path, "compressed by gzip", "its name must end in .nii.gz")
    if compressed and any(start.startswith(struct.pack(f"{order}i", place[0])) for order in "<>" for place in PLACES):
        raise VolumeError(path, "not compressed", "its name must end in .nii")
    with ImageOpener(os.fspath(path)) as stream:
        start = stream.read(NIFTI2_BYTES)
    for order in "<>":
        for length, offset, kind, voxels, number in PLACES:
            if len(start) >= length and struct.unpack_from(f"{order}i", start)[0] == length:
                (axes,) = struct.unpack_from(f"{order}{kind}", start, offset)
                if not 1 <= axes <= 7:
                    raise VolumeError(path, f"dim[0] {axes}", "must be from 1 to 7")
                (first,) = struct.unpack_from(f"{order}{number}", start, voxels)
                if LARGEST_OFFSET < first < math.inf:
                    raise VolumeError(path, f"vox_offset {first:g}", f"must be at most {LARGEST_OFFSET}")


def _check_nifti_fields(path: Path, header: nib.Nifti1Header | nib.Nifti2Header) -> None:
    """Check the fields that nibabel reinterprets or ignores.

    Raises:
        VolumeError: lengths in another unit than mm, an unknown form code, or voxels that begin within the header.
    """
    unit = header.get_xyzt_units()[0] if int(header["xyzt_units"]) & 7 < 4 else "unknown"
    if unit not in ("mm", "unknown"):
        raise VolumeError(path, f"xyzt_units {unit}", "lengths must be in mm")
    for field in ("qform_code", "sform_code"):
        code = int(header[field])
        if not 0 <= code <= LAST_FORM_CODE:
            raise VolumeError(path, f"{field} {code}", f"must be from 0 to {LAST_FORM_CODE}")
    offset, least = float(header["vox_offset"]), header.single_vox_offset
    if not least <= offset < math.inf:
        raise VolumeError(path, f"vox_offset {offset:g}", f"must be at least {least}, after the header")


class NiftiReader(ImageReader):
    """Reads NIfTI through nibabel, compressed files to their end, where the checksum is.

    The affine is nibabel's: sform if its code is set, otherwise qform. MONAI's NibabelReader may replace it with a
    warning if the voxel sizes disagree with it, and reorders the voxels in memory, which takes longer than
    decompressing them.
    """

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Return whether this reader is for the file."""
        return volume_extension(ensure_tuple(filename)[0]) in NIFTI_EXTENSIONS

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> NiftiImage:
        """Open one file; `get_data` reads its voxels."""
        return open_nifti(ensure_tuple(data)[0])

    def get_data(self, img: NiftiImage) -> tuple[NDArray[Any], dict[str, Any]]:
        """Return voxels (X, Y, Z) or (X, Y, Z, C), and the metadata that MONAI expects."""
        path = img.get_filename() or ""
        if path.lower().endswith(".gz"):
            with open_gzip(path) as stream:
                with quiet_nibabel():
                    streamed = type(img).from_file_map({"image": FileHolder(fileobj=stream)})
                array = read_voxels(streamed)
                if stream.read(1):  # at the end instead, the checksum is verified
                    found = f"more than the voxels of shape {img.shape}"
                    raise VolumeError(path, found, "must hold the voxels that its header describes, and no more")
        else:
            array = read_voxels(img)
        array = squeeze_extra_axes(array)
        return array, volume_metadata(array, np.array(img.affine, dtype=np.float64))


def read_voxels(image: NiftiImage) -> NDArray[Any]:
    """Read the voxels of an image in their stored type, or as float32 if the header scales them."""
    assert isinstance(image.dataobj, ArrayProxy)  # not read yet
    scaled = image.dataobj.slope != 1 or image.dataobj.inter != 0
    return np.asarray(image.dataobj, dtype=np.float32 if scaled else None)


@contextmanager
def quiet_nibabel() -> Iterator[None]:
    """Keep nibabel from logging its header repairs: those that matter are checked here."""
    logger = logging.getLogger("nibabel.global")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
