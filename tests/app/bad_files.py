"""Writers of files that are broken, odd or well disguised, all of one small image."""

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
"""Writes into a folder, and tells the path of the volume there."""

SHAPE = (14, 12, 10)
AFFINE = np.array([[1.0, 0, 0, -7], [0, 1.5, 0, 5], [0, 0, 2, -20], [0, 0, 0, 1]])


def smooth_noise() -> Array:
    """Intensities (14, 12, 10) from 10 to 110, which voxels of every type can hold."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=SHAPE), 1)
    return (100 * (noise - noise.min()) / np.ptp(noise)).round().astype(np.int16) + np.int16(10)


VOXELS = smooth_noise()


def with_value(value: float, count: int = 1) -> Array:
    """The image in float32, with so many voxels of another value."""
    voxels = VOXELS.astype(np.float32)
    voxels.flat[:count] = value
    return voxels


# Any file


def content(name: str, data: bytes = b"") -> Write:
    """A file of these bytes."""

    def write(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return write


def changed(write: Write, change: Callable[[bytes], bytes]) -> Write:
    """The same file with other bytes."""

    def edit(folder: Path) -> Path:
        path = write(folder)
        path.write_bytes(change(path.read_bytes()))
        return path

    return edit


def cut(write: Write, *, keep: float = 1.0, drop: int = 0) -> Write:
    """The same file, ending early."""
    return changed(write, lambda data: data[: int(len(data) * keep) - drop])


def flipped(write: Write, place: int) -> Write:
    """The same file with one bit changed."""
    return changed(write, lambda data: data[:place] + bytes([data[place] ^ 1]) + data[place + 1 or None :])


def edited(write: Write, old: str, new: str) -> Write:
    """The same file with a part of its text replaced."""

    def replace(data: bytes) -> bytes:
        assert old.encode() in data
        return data.replace(old.encode(), new.encode())

    return changed(write, replace)


def named(name: str, write: Write) -> Write:
    """The same file under another name."""
    return lambda folder: write(folder).rename(folder / name)


def zipped(write: Write, *, times: int = 1, tail: bytes = b"") -> Write:
    """The same file gzipped, as `scan.nii.gz`, with something behind it."""

    def compress(data: bytes) -> bytes:
        for _ in range(times):
            data = gzip.compress(data, mtime=0)
        return data + tail

    return named("scan.nii.gz", changed(write, compress))


# NIfTI


def nifti(name: str = "scan.nii", voxels: Array = VOXELS, affine: Array = AFFINE, kind: Any = nib.Nifti1Image) -> Write:
    """A NIfTI file of voxels as they are."""

    def write(folder: Path) -> Path:
        nib.save(kind(voxels, affine, dtype=voxels.dtype), folder / name)
        return folder / name

    return write


def header(**fields: Any) -> Write:
    """A NIfTI-1 file with these fields of its header overwritten."""

    def overwrite(data: bytes) -> bytes:
        written = np.frombuffer(data[:348], dtype=nib.Nifti1Header.template_dtype).copy()
        for field, value in fields.items():
            written[field] = value
        return written.tobytes() + data[348:]

    return changed(nifti(), overwrite)


def units(code: int, scale: float) -> Write:
    """The image with lengths that are `scale` times those in mm, and the code of a unit."""
    rows = {f"srow_{axis}": AFFINE[index] * scale for index, axis in enumerate("xyz")}
    return header(xyzt_units=code, pixdim=[1, scale, 1.5 * scale, 2 * scale, 1, 1, 1, 1], **rows)


def two_forms(sform: Array, qform: Array) -> Write:
    """A NIfTI file with two affines."""

    def write(folder: Path) -> Path:
        image = nib.Nifti1Image(VOXELS, None)
        image.header.set_qform(qform, code=1)
        image.header.set_sform(sform, code=2)
        nib.save(nib.Nifti1Image(VOXELS, None, image.header), folder / "scan.nii")
        return folder / "scan.nii"

    return write


def extended(size: int | None = None) -> Write:
    """A NIfTI file with a comment between header and voxels, which may claim another size than it has."""

    def write(folder: Path) -> Path:
        image = nib.Nifti1Image(VOXELS, AFFINE)
        image.header.extensions.append(Nifti1Extension("comment", b"a remark of the scanner"))
        nib.save(image, folder / "scan.nii")
        return folder / "scan.nii"

    if size is None:
        return write
    return changed(write, lambda data: data[:352] + np.int32(size).tobytes() + data[356:])


def big_endian(folder: Path) -> Path:
    """A NIfTI file from a computer of another kind."""
    nib.save(nib.Nifti1Image(VOXELS.astype(">i2"), AFFINE, nib.Nifti1Header(endianness=">")), folder / "scan.nii")
    assert (folder / "scan.nii").read_bytes()[:4] == (348).to_bytes(4, "big")
    return folder / "scan.nii"


def turned(codes: str) -> Write:
    """The image with its axes stored in another order and direction."""
    image = nib.Nifti1Image(VOXELS, AFFINE)
    wanted = nib.orientations.axcodes2ornt(codes)
    change = nib.orientations.ornt_transform(nib.orientations.io_orientation(AFFINE), wanted)
    other = image.as_reoriented(change.tolist())
    return nifti("scan.nii.gz", np.asarray(other.dataobj), np.asarray(other.affine))


def pair(kind: Any) -> Write:
    """A header and voxels in two files, `.hdr` and `.img`."""

    def write(folder: Path) -> Path:
        nib.save(kind(VOXELS, AFFINE), folder / "scan.img")
        return folder / "scan.hdr"

    return write


# NRRD and MetaImage


def itk(name: str, voxels: Array = VOXELS, *, vector: bool = False, compressed: bool = False) -> Write:
    """Voxels (X, Y, Z), or (X, Y, Z, C) as a vector in each voxel, by SimpleITK."""

    def write(folder: Path) -> Path:
        image = sitk.GetImageFromArray(np.moveaxis(voxels, (0, 1, 2), (2, 1, 0)), isVector=vector)
        image.SetSpacing((1.0, 1.5, 2.0))
        image.SetOrigin((7.0, -5.0, -20.0))
        image.SetDirection((-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
        sitk.WriteImage(image, folder / name, useCompression=compressed)
        return folder / name

    return write


def nrrd(more: str = "", *, data: bytes | None = None, **fields: str) -> Write:
    """A NRRD file written by hand: `fields` replace others, or leave them out if empty; `more` comes last."""
    lines = {
        "type": "int16",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": "14 12 10",
        "space directions": "(-1,0,0) (0,-1.5,0) (0,0,2)",
        "endian": "little",
        "encoding": "raw",
        "space origin": "(7,-5,-20)",
    } | {name.replace("_", " "): value for name, value in fields.items()}
    text = "".join(f"{name}: {value}\n" for name, value in lines.items() if value)
    end = "" if more.startswith("data file: LIST") else "\n"  # a list of files goes on to the end of the header's
    voxels = VOXELS.tobytes(order="F") if data is None else data
    return content("scan.nrrd", f"NRRD0005\n{text}{more}{end}".encode() + voxels)


def mhd(data_file: str, more: str = "") -> Write:
    """A MetaImage header that names its data file so; `{folder}` stands for its folder."""

    def write(folder: Path) -> Path:
        text = (
            "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
            "TransformMatrix = -1 0 0 0 -1 0 0 0 1\nOffset = 7 -5 -20\nElementSpacing = 1 1.5 2\nDimSize = 14 12 10\n"
            f"ElementType = MET_SHORT\n{more}ElementDataFile = {data_file}\n"
        )
        (folder / "scan.mhd").write_text(text.replace("{folder}", str(folder.resolve())))
        return folder / "scan.mhd"

    return write


def beside(write: Write, *names: str) -> Write:
    """A header and, in so many files, its voxels."""

    def add(folder: Path) -> Path:
        for name, part in zip(names, np.array_split(VOXELS, len(names), axis=2), strict=True):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(part.tobytes(order="F"))
        return write(folder)

    return add


SLICES = [f"slice{index}.raw" for index in range(SHAPE[2])]
LIST = "LIST\n" + "\n".join(SLICES)


# Not a file


def symlink(target: str) -> Write:
    """A link to a name in its own folder, perhaps its own."""

    def write(folder: Path) -> Path:
        (folder / "scan.nii").symlink_to(target)
        return folder / "scan.nii"

    return write


def empty_folder(name: str) -> Write:
    """A folder with this name."""

    def write(folder: Path) -> Path:
        (folder / name).mkdir()
        return folder / name

    return write
