"""Writers of files that are broken, odd, or well disguised, all of one small image."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from nibabel.nifti1 import Nifti1Extension
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[Any]
Write = Callable[[Path], Path]
"""Writes one file into a folder, and tells its path."""

SHAPE = (14, 12, 10)
AFFINE = np.array([[1.0, 0, 0, -7], [0, 1.5, 0, 5], [0, 0, 2, -20], [0, 0, 0, 1]])
LAST = 64 + 60
"""Offset of what is dear to nobody."""


def _voxels() -> Array:
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=SHAPE), 1)
    return (100 * (noise - noise.min()) / np.ptp(noise)).round().astype(np.int16) + 10


VOXELS = _voxels()
"""Smooth noise from 10 to 110, which every type of voxel can hold."""


def nifti(name: str = "scan.nii", voxels: Array = VOXELS, affine: Array = AFFINE, kind: Any = nib.Nifti1Image) -> Write:
    """A NIfTI file of voxels as they are."""

    def write(folder: Path) -> Path:
        nib.save(kind(voxels, affine, dtype=voxels.dtype), folder / name)
        return folder / name

    return write


def header(voxels: Array = VOXELS, **fields: Any) -> Write:
    """An uncompressed NIfTI-1 file with these fields of its header overwritten."""

    def write(folder: Path) -> Path:
        path = nifti(voxels=voxels)(folder)
        content = path.read_bytes()
        changed = np.frombuffer(content[:348], dtype=nib.Nifti1Header.template_dtype).copy()
        for field, value in fields.items():
            changed[field] = value
        path.write_bytes(changed.tobytes() + content[348:])
        return path

    return write


def forms(sform: Array | None, qform: Array | None, voxels: Array = VOXELS) -> Write:
    """A NIfTI file with these two affines; None leaves one out."""

    def write(folder: Path) -> Path:
        image = nib.Nifti1Image(voxels, None)
        image.header["pixdim"][1:4] = [1, 1.5, 2]
        image.header.set_qform(qform, code=int(qform is not None), strip_shears=True)
        image.header.set_sform(sform, code=2 * int(sform is not None))
        (folder / "scan.nii").write_bytes(nib.Nifti1Image(voxels, None, image.header).to_bytes())
        return folder / "scan.nii"

    return write


def scaled(slope: float, intercept: float) -> Write:
    """A NIfTI file whose stored voxels are to be scaled."""
    return header(scl_slope=slope, scl_inter=intercept)


def extended(size: int | None = None) -> Write:
    """A NIfTI file with a comment between header and voxels, which claims to have this size."""

    def write(folder: Path) -> Path:
        image = nib.Nifti1Image(VOXELS, AFFINE)
        image.header.extensions.append(Nifti1Extension("comment", b"a remark of the scanner"))
        nib.save(image, folder / "scan.nii")
        content = bytearray((folder / "scan.nii").read_bytes())
        if size is not None:
            content[352:356] = np.int32(size).tobytes()
        (folder / "scan.nii").write_bytes(content)
        return folder / "scan.nii"

    return write


def big_endian(folder: Path) -> Path:
    """A NIfTI file of a computer that no longer exists."""
    nib.save(nib.Nifti1Image(VOXELS.astype(">i2"), AFFINE, nib.Nifti1Header(endianness=">")), folder / "scan.nii")
    assert (folder / "scan.nii").read_bytes()[:4] == (348).to_bytes(4, "big")
    return folder / "scan.nii"


def turned(codes: str) -> Write:
    """The image with its axes stored in another order and direction."""
    image = nib.Nifti1Image(VOXELS, AFFINE)
    wanted = nib.orientations.axcodes2ornt(codes)
    other = image.as_reoriented(nib.orientations.ornt_transform(nib.orientations.io_orientation(AFFINE), wanted))
    return nifti("scan.nii.gz", np.asarray(other.dataobj), np.asarray(other.affine))


def itk(name: str, voxels: Array = VOXELS, *, vector: bool = False, compressed: bool = False) -> Write:
    """The image by SimpleITK; voxels (X, Y, Z) or (X, Y, Z, C)."""

    def write(folder: Path) -> Path:
        image = sitk.GetImageFromArray(voxels.T, isVector=False)
        if vector:
            image = sitk.GetImageFromArray(np.moveaxis(voxels, (0, 1, 2), (2, 1, 0)), isVector=True)
        if image.GetDimension() == 3:
            image.SetSpacing((1.0, 1.5, 2.0))
            image.SetOrigin((7.0, -5.0, -20.0))
            image.SetDirection((-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
        sitk.WriteImage(image, folder / name, useCompression=compressed)
        return folder / name

    return write


def edited(write: Write, *changes: tuple[str | bytes, str | bytes]) -> Write:
    """The same with bytes replaced."""

    def edit(folder: Path) -> Path:
        path = write(folder)
        content = path.read_bytes()
        for old, new in changes:
            old, new = (text.encode() if isinstance(text, str) else text for text in (old, new))
            assert old in content
            content = content.replace(old, new)
        path.write_bytes(content)
        return path

    return edit


def cut(write: Write, *, keep: float = 1.0, drop: int = 0) -> Write:
    """The same, ending early."""

    def shorten(folder: Path) -> Path:
        path = write(folder)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * keep) - drop])
        return path

    return shorten


def flipped(write: Write, place: int) -> Write:
    """The same with one bit changed."""

    def flip(folder: Path) -> Path:
        path = write(folder)
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)
        return path

    return flip


def named(name: str, write: Write) -> Write:
    """The same under another name."""
    return lambda folder: write(folder).rename(folder / name)


def zipped(write: Write, *, times: int = 1, tail: bytes = b"") -> Write:
    """The same content gzipped under the name that it has, or under `scan.nii.gz`."""

    def compress(folder: Path) -> Path:
        path = write(folder)
        content = path.read_bytes()
        path.unlink()
        for _ in range(times):
            content = gzip.compress(content, mtime=0)
        (folder / "scan.nii.gz").write_bytes(content + tail)
        return folder / "scan.nii.gz"

    return compress


def content(name: str, data: bytes = b"") -> Write:
    """A file of these bytes."""

    def write(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return write


def without(write: Write, suffix: str) -> Write:
    """A header whose data file is not there."""

    def remove(folder: Path) -> Path:
        path = write(folder)
        path.with_suffix(suffix).unlink()
        return path

    return remove


def raw_elsewhere(folder: Path, name: str) -> None:
    """The voxels alone, as x-fastest bytes."""
    (folder / name).write_bytes(VOXELS.tobytes(order="F"))


def mhd(data_file: str, raw: str = "", more: str = "") -> Write:
    """A MetaImage header that names its data file so; `{folder}` stands for its folder."""

    def write(folder: Path) -> Path:
        if raw:
            (folder / raw).parent.mkdir(parents=True, exist_ok=True)
            raw_elsewhere(folder, raw)
        text = (
            "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
            "TransformMatrix = -1 0 0 0 -1 0 0 0 1\nOffset = 7 -5 -20\nElementSpacing = 1 1.5 2\n"
            f"DimSize = 14 12 10\nElementType = MET_SHORT\n{more}ElementDataFile = {data_file}\n"
        )
        (folder / "scan.mhd").write_text(text.replace("{folder}", str(folder.resolve())))
        return folder / "scan.mhd"

    return write


def nrrd(fields: str = "", data: bytes | None = None, space: str = "left-posterior-superior", **changes: str) -> Write:
    """A NRRD file written by hand: `fields` are added, others replaced or, if empty, left out."""
    header = {
        "type": "int16",
        "dimension": "3",
        "space": space,
        "sizes": "14 12 10",
        "space directions": "(-1,0,0) (0,-1.5,0) (0,0,2)",
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "raw",
        "space origin": "(7,-5,-20)",
    } | {name.replace("_", " "): value for name, value in changes.items()}
    lines = "".join(f"{name}: {value}\n" for name, value in header.items() if value)
    voxels = VOXELS.tobytes(order="F") if data is None else data
    return content("scan.nrrd", f"NRRD0005\n{lines}{fields}\n".encode() + voxels)


def slices(folder: Path) -> None:
    """Each slice in a file of its own."""
    for index in range(SHAPE[2]):
        (folder / f"slice{index:02d}.raw").write_bytes(VOXELS[:, :, index].tobytes(order="F"))
