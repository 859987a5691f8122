"""NIfTI: its header checked for what nibabel repairs without a word, its voxels read to the checksum."""

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

from .gzip_files import open_gzip
from .header import VolumeHeader, unreadable_is_volume_error
from .itk_stored import CHUNK_BYTES, DEFLATE_RATIO
from .metadata import squeezed, volume_metadata
from .names import NIFTI_EXTENSIONS, volume_extension

NIFTI1_BYTES, NIFTI2_BYTES = 348, 540


LAST_FORM_CODE = 5


NiftiImage = nib.Nifti1Image | nib.Nifti2Image


@contextmanager
def quiet_nibabel() -> Iterator[None]:
    """Keep nibabel from printing which faults of a header it repairs: those that matter are looked for here."""
    logger = logging.getLogger("nibabel.global")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def open_nifti(path: PathLike) -> NiftiImage:
    """A NIfTI-1 or NIfTI-2 image whose voxels are not read yet.

    Raises:
        VolumeError: the file cannot be read, or is of another kind.
    """
    with unreadable_is_volume_error(path), quiet_nibabel():
        image = nib.load(path)
    if not isinstance(image, NiftiImage):
        raise VolumeError(path, type(image).__name__, "must be a NIfTI-1 or NIfTI-2 volume")
    return image


def read_nifti_header(path: Path) -> VolumeHeader:
    _check_nifti_dimensions(path)
    image = open_nifti(path)
    with ImageOpener(os.fspath(path)) as stream, quiet_nibabel():
        stored = type(image.header).from_fileobj(stream, check=False)  # without what nibabel repairs
    _check_nifti_fields(path, stored)
    voxel_type = np.dtype(image.get_data_dtype())
    affine = np.array(image.affine, dtype=np.float64)
    if stored["sform_code"] == 0:  # then the affine is made from pixdim, where nibabel has put 1 for 0
        affine[:3, :3][:, stored["pixdim"][1:4] == 0] = 0
    assert isinstance(image.dataobj, ArrayProxy)  # voxels not read yet
    inflated = path.stat().st_size * (DEFLATE_RATIO if path.suffix.lower() == ".gz" else 1)
    return VolumeHeader(
        shape=tuple(map(int, image.shape)),
        voxel_type="RGB" if voxel_type.fields else voxel_type.name,
        is_numeric=voxel_type.kind in "iuf",
        affine=affine,
        voxel_bytes=math.prod(map(int, image.shape)) * voxel_type.itemsize,
        capacity=max(0, inflated - image.dataobj.offset),
    )


def _check_nifti_dimensions(path: Path) -> None:
    """Check the number of axes, by which nibabel tells the order of bytes: a wrong one makes it misread the rest."""
    with ImageOpener(os.fspath(path)) as stream:
        start = stream.read(NIFTI2_BYTES)
    for order in "<>":
        for length, place, kind in ((NIFTI1_BYTES, 40, "h"), (NIFTI2_BYTES, 16, "q")):
            if len(start) >= length and struct.unpack_from(f"{order}i", start)[0] == length:
                (axes,) = struct.unpack_from(f"{order}{kind}", start, place)
                if not 1 <= axes <= 7:
                    raise VolumeError(path, f"dim[0] {axes}", "must be from 1 to 7")


def _check_nifti_fields(path: Path, header: nib.Nifti1Header | nib.Nifti2Header) -> None:
    """Check what nibabel takes otherwise than it stands there, or not at all.

    Raises:
        VolumeError: lengths in another unit than mm, a code that names no space, or voxels that begin in the header.
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
        raise VolumeError(path, f"vox_offset {offset:g}", f"must be at least {least}, behind the header")


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
