"""What a volume's file claims about itself, read without its voxels.

A claim is checked before it is believed: a file of a few bytes can claim terabytes of voxels.
"""

from __future__ import annotations

import logging
import math
import os
import re
import struct
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from nibabel.arrayproxy import ArrayProxy
from nibabel.openers import ImageOpener
from numpy.typing import NDArray

from .cases import NIFTI_EXTENSIONS, VOLUME_EXTENSIONS, volume_extension
from .errors import VolumeError
from .stored import DEFLATE_RATIO, find_stored_voxels

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

ITK_READERS = {".nrrd": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
"""Told to ITK, which knows a MetaImage by an extension in lower case only."""

NIFTI1_BYTES, NIFTI2_BYTES = 348, 540
LAST_FORM_CODE = 5
STANDARD_ERROR = 2
ADDRESS = re.compile(r"\(0x[0-9a-f]+\)")

NiftiImage = nib.Nifti1Image | nib.Nifti2Image


@dataclass(frozen=True, kw_only=True)
class VolumeHeader:
    """Shape, voxel type and place of a volume, as its file claims them.

    Args:
        shape: voxels along the spatial axes as stored, and then along other axes, such as channels.
        voxel_type: name of the voxels' type, such as `int16`.
        is_numeric: whether a voxel is one real number.
        affine: (4, 4), voxel indices of the first three axes to RAS mm.
        voxel_bytes: bytes of all the voxels, uncompressed.
        capacity: most bytes of voxels that the file can hold; None when that is not known.
    """

    shape: tuple[int, ...]
    voxel_type: str
    is_numeric: bool
    affine: NDArray[np.float64]
    voxel_bytes: int
    capacity: int | None

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Voxels along each of the three axes; fewer numbers when the volume has fewer."""
        return self.shape[:3]

    @property
    def channel_axes(self) -> tuple[int, ...]:
        """Lengths of the axes beyond the third, without those of length 1."""
        return tuple(size for size in self.shape[3:] if size != 1)


def read_header(path: str | os.PathLike[str]) -> VolumeHeader:
    """Read the header of a NIfTI, NRRD or MetaImage file.

    Raises:
        VolumeError: the extension is not a volume's, or the file is missing or has no readable header.
    """
    path = Path(path)
    extension = volume_extension(path)
    if not extension:
        raise VolumeError(path, f"extension {path.suffix!r}", f"must be one of {', '.join(VOLUME_EXTENSIONS)}")
    if not path.is_file():
        raise VolumeError(path, "not a file", "must be a file that exists")
    with unreadable_is_volume_error(path):
        return _read_nifti(path) if extension in NIFTI_EXTENSIONS else _read_itk(path)


@contextmanager
def unreadable_is_volume_error(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn whatever a reader raises for a broken file into a VolumeError that ends in the reader's reason."""
    try:
        yield
    except VolumeError:
        raise
    except Exception as error:  # readers raise OSError, EOFError, zlib.error, ValueError, RuntimeError and others
        raise VolumeError(path, f"unreadable ({_reason(error, path)})", "must be a whole, readable volume") from error


def _reason(error: Exception, path: str | os.PathLike[str]) -> str:
    """The last line of a reader's message that tells something, without the path, which is told anyway."""
    text = str(error)
    for quote in ('"', "'", ""):
        text = text.replace(f"{quote}{os.fspath(path)}{quote}", "it")
    text = ADDRESS.sub("", text).strip() or type(error).__name__
    lines = [line for line in text.splitlines() if not line.startswith("Reason:")]  # the system's, of another call
    return (lines or [text])[-1].strip(" -\t")


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


def open_nifti(path: str | os.PathLike[str]) -> NiftiImage:
    """A NIfTI-1 or NIfTI-2 image whose voxels are not read yet.

    Raises:
        VolumeError: the file cannot be read, or is of another kind.
    """
    with unreadable_is_volume_error(path), quiet_nibabel():
        image = nib.load(path)
    if not isinstance(image, NiftiImage):
        raise VolumeError(path, type(image).__name__, "must be a NIfTI-1 or NIfTI-2 volume")
    return image


def itk_affine(image: sitk.Image | sitk.ImageFileReader) -> NDArray[np.float64]:
    """Affine (4, 4) from voxel indices of the first three axes to RAS mm; the identity for an image of fewer axes."""
    affine = np.eye(4)
    dimension = image.GetDimension()
    if dimension >= 3:
        direction = np.reshape(image.GetDirection(), (dimension, dimension))[:3, :3]
        affine[:3, :3] = direction * np.asarray(image.GetSpacing()[:3])
        affine[:3, 3] = image.GetOrigin()[:3]
    return LPS_TO_RAS @ affine


def _read_nifti(path: Path) -> VolumeHeader:
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


def _read_itk(path: Path) -> VolumeHeader:
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
