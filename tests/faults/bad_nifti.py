"""Broken or odd NIfTI files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Extension

from .bad_files import (
    AFFINE,
    ALONE,
    AXES,
    SAME,
    UNREADABLE,
    VOXELS,
    Array,
    Kinds,
    Segmented,
    Write,
    changed,
    nifti,
    with_value,
    zipped,
)


def header(**fields: Any) -> Write:
    """Return a writer of a NIfTI-1 file with these header fields overwritten."""

    def overwrite(data: bytes) -> bytes:
        written = np.frombuffer(data[:348], dtype=nib.Nifti1Header.template_dtype).copy()
        for field, value in fields.items():
            written[field] = value
        return written.tobytes() + data[348:]

    return changed(nifti(), overwrite)


def units(code: int, scale: float) -> Write:
    """Return a writer of the image with lengths `scale` times those in mm, and the code of a unit."""
    rows = {f"srow_{axis}": AFFINE[index] * scale for index, axis in enumerate("xyz")}
    return header(xyzt_units=code, pixdim=[1, scale, 1.5 * scale, 2 * scale, 1, 1, 1, 1], **rows)


def two_forms(sform: Array, qform: Array) -> Write:
    """Return a writer of a NIfTI file with two affines."""

    def write(folder: Path) -> Path:
        image = nib.Nifti1Image(VOXELS, None)
        image.header.set_qform(qform, code=1)
        image.header.set_sform(sform, code=2)
        nib.save(nib.Nifti1Image(VOXELS, None, image.header), folder / "scan.nii")
        return folder / "scan.nii"

    return write


def extended(size: int | None = None) -> Write:
    """Return a writer of a NIfTI file with a comment after the header, which may claim a wrong size."""

    def write(folder: Path) -> Path:
        image = nib.Nifti1Image(VOXELS, AFFINE)
        image.header.extensions.append(Nifti1Extension("comment", b"a remark of the scanner"))
        nib.save(image, folder / "scan.nii")
        return folder / "scan.nii"

    if size is None:
        return write
    return changed(write, lambda data: data[:352] + np.int32(size).tobytes() + data[356:])


def big_endian(folder: Path) -> Path:
    """Write a big-endian NIfTI file."""
    nib.save(nib.Nifti1Image(VOXELS.astype(">i2"), AFFINE, nib.Nifti1Header(endianness=">")), folder / "scan.nii")
    assert (folder / "scan.nii").read_bytes()[:4] == (348).to_bytes(4, "big")
    return folder / "scan.nii"


def turned(codes: str) -> Write:
    """Return a writer of the image with its axes stored in another order and direction."""
    image = nib.Nifti1Image(VOXELS, AFFINE)
    wanted = nib.orientations.axcodes2ornt(codes)
    change = nib.orientations.ornt_transform(nib.orientations.io_orientation(AFFINE), wanted)
    other = image.as_reoriented(change.tolist())
    return nifti("scan.nii.gz", np.asarray(other.dataobj), np.asarray(other.affine))


def pair(kind: Any) -> Write:
    """Return a writer of a header and voxels in two files, `.hdr` and `.img`."""

    def write(folder: Path) -> Path:
        nib.save(kind(VOXELS, AFFINE), folder / "scan.img")
        return folder / "scan.hdr"

    return write


def scaled(scale: float, intercept: float) -> Segmented:
    """Expect the label map of the image with its intensities scaled."""
    return Segmented(nifti("plain.nii", (scale * VOXELS + intercept).astype(np.float32)))


NOT_THERE = r"of int16 is 3360 bytes, at most \d+ are there: must be a whole"
DISTANCE = r"must measure 1 to 4000 mm and lie within 1e\+06 mm of the origin"
SHEAR = np.array([[1, 0.3, 0, 0], [0, 1, 0.2, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
ELSEWHERE = np.diag([-1.0, -1, 1, 1]) @ np.eye(4)[[2, 0, 1, 3]] @ AFFINE

KINDS: Kinds = {
    # What the header claims
    "wrong magic": (header(magic=b"abc"), UNREADABLE),
    "no magic of a single file": (header(magic=b"ni1"), SAME),
    "dim[0] of 0": (header(dim=[0, 14, 12, 10, 1, 1, 1, 1]), r"dim\[0\] 0: must be from 1 to 7"),
    "dim[0] of 8": (header(dim=[8, 14, 12, 10, 1, 1, 1, 1]), r"dim\[0\] 8: must be from 1 to 7"),
    "dim[0] of -1": (header(dim=[-1, 14, 12, 10, 1, 1, 1, 1]), r"dim\[0\] -1: must be from 1 to 7"),
    "dim[0] of 7": (header(dim=[7, 14, 12, 10, 1, 1, 1, 1]), SAME),
    "1D": (header(dim=[1, 14, 12, 10, 1, 1, 1, 1]), r"1 dimensions \(14,\): must have 3, or 4 with channels last"),
    "2D": (nifti(voxels=VOXELS[:, :, 0]), r"2 dimensions \(14, 12\): must have 3, or 4 with channels last"),
    "4D": (nifti(voxels=np.stack([VOXELS] * 3, -1)), r"3 channels \(shape \(14, 12, 10, 3\)\): must have 1"),
    "4D of one volume": (nifti(voxels=VOXELS[..., None]), SAME),
    "negative size": (header(dim=[3, 14, -12, 10, 1, 1, 1, 1]), r"shape \(14, -12, 10\): every axis must have"),
    "two negative sizes": (header(dim=[3, -14, -12, 10, 1, 1, 1, 1]), r"shape \(-14, -12, 10\): every axis must have"),
    "negative size, gzipped": (zipped(header(dim=[3, 14, -12, 10, 1, 1, 1, 1])), r"\(14, -12, 10\): every axis"),
    "huge dims in a tiny file": (header(dim=[3, *[32767] * 3, 1, 1, 1, 1]), "70362301923326 bytes, at most 3360 are"),
    "huge dims in a tiny gzip": (zipped(header(dim=[3, *[32767] * 3, 1, 1, 1, 1])), r"at most \d+ are there: must be"),
    "voxels beyond the file": (header(vox_offset=1e6), NOT_THERE),
    "voxels beyond the gzip": (zipped(header(vox_offset=1e30)), r"vox_offset 1e\+30: must be at most \d+"),
    "voxels a byte late": (header(vox_offset=353), NOT_THERE),
    "voxels in the header": (header(vox_offset=0), "vox_offset 0: must be at least 352, after the header"),
    "voxels at NaN": (header(vox_offset=np.nan), UNREADABLE),
    "voxels before the file": (header(vox_offset=-16), UNREADABLE),
    "complex voxels": (nifti(voxels=VOXELS.astype(np.complex64)), "complex64 voxels: voxels must be real numbers"),
    "RGB voxels": (header(datatype=128, bitpix=24), "RGB voxels: voxels must be real numbers"),
    "one bit a voxel": (header(datatype=1, bitpix=1), r"unreadable \(data code 1 not supported\)"),
    "unknown voxel type": (header(datatype=7), r"unreadable \(data code 7 not recognized\)"),
    "float128 voxels cut short": (
        header(datatype=1536, bitpix=128),
        "data code 1536 not supported|float128",
    ),  # not on x86
    **{
        f"{kind} voxels": (nifti(voxels=VOXELS.astype(kind)), SAME)
        for kind in ("int8", "uint8", "int32", "uint64", "float64")
    },
    "big-endian": (big_endian, SAME),
    "NIfTI-2": (nifti(kind=nib.Nifti2Image), SAME),
    "a comment": (extended(), SAME),
    "a comment of 7 bytes": (extended(7), UNREADABLE),
    "a comment of a gigabyte": (extended(2**30), UNREADABLE),
    "a comment of -16 bytes": (extended(-16), UNREADABLE),
    "intent vector": (header(intent_code=1007), SAME),
    "intent unknown": (header(intent_code=777), SAME),
    # Intensities
    "NaN": (nifti(voxels=with_value(np.nan, 3)), "3 of 1680 voxels are NaN or infinite: every voxel must be finite"),
    "infinity": (nifti(voxels=with_value(-np.inf)), "1 of 1680 voxels are NaN or infinite: every voxel must be finite"),
    "beyond float32": (nifti(voxels=VOXELS * 1e300), "1680 of 1680 voxels are NaN or infinite: every voxel must be"),
    "absurdly large": (nifti(voxels=with_value(3e38)), r"voxels from 10 to 3e\+38: must be within ±1e\+12"),
    "all zero": (nifti(voxels=VOXELS * 0), "all voxels are 0: voxels must differ to show anything"),
    "all the same": (nifti(voxels=VOXELS * 0 - 1024), "all voxels are -1024: voxels must differ to show anything"),
    "one voxel": (nifti(voxels=VOXELS[:1, :1, :1]), r"all voxels are \d+: voxels must differ to show anything"),
    "slope 0": (header(scl_slope=0, scl_inter=5), SAME),
    "slope NaN": (header(scl_slope=np.nan, scl_inter=5), SAME),
    "slope -1": (header(scl_slope=-1, scl_inter=200), scaled(-1, 200)),
    "slope 0.5": (header(scl_slope=0.5, scl_inter=-30), scaled(0.5, -30)),
    "slope huge": (header(scl_slope=1e37, scl_inter=0), "voxels are NaN or infinite: every voxel must be finite"),
    "intercept NaN": (header(scl_slope=1, scl_inter=np.nan), UNREADABLE),
    # Place
    "one slice": (nifti(voxels=VOXELS[:, :, :1]), ALONE),
    "an axis of one voxel": (nifti(voxels=VOXELS[:1]), ALONE),
    "two axes of one voxel": (nifti(voxels=VOXELS[:1, :1]), ALONE),
    "mirrored axes": (turned("LPI"), SAME),
    "one mirrored axis": (turned("LAS"), SAME),
    "permuted axes": (turned("SRP"), SAME),
    "metres": (units(1, 1e-3), "xyzt_units meter: lengths must be in mm"),
    "micrometres": (units(3, 1e3), "xyzt_units micron: lengths must be in mm"),
    "metres called mm": (units(2, 1e-3), f"a volume of 0.014 x 0.018 x 0.02 mm: {DISTANCE}"),
    "micrometres called mm": (units(2, 1e3), rf"a volume of 1.4e\+04 x 1.8e\+04 x 2e\+04 mm: {DISTANCE}"),
    "no unit": (units(0, 1), SAME),
    "unknown unit": (units(7, 1), SAME),
    "light years away": (header(srow_x=[1, 0, 0, 1e30]), f"a volume 1e\\+30 mm from the origin: {DISTANCE}"),
    "zero zooms": (header(pixdim=[1, 0, 0, 0, 1, 1, 1, 1], sform_code=0), f"voxels of 0 x 0 x 0 mm: {AXES}"),
    "zero zooms beside an sform": (header(pixdim=[1, 0, 0, 0, 1, 1, 1, 1]), SAME),
    "negative pixdim": (header(pixdim=[1, -1, 1.5, -2, 1, 1, 1, 1], sform_code=0), ALONE),
    "negative pixdim beside an sform": (header(pixdim=[1, -1, 1.5, -2, 1, 1, 1, 1]), SAME),
    "pixdim NaN": (header(pixdim=[1, np.nan, 1, 1, 1, 1, 1, 1], sform_code=0), f"affine with NaN or infinity: {AXES}"),
    "pixdim NaN beside an sform": (header(pixdim=[1, np.nan, 1, 1, 1, 1, 1, 1]), SAME),
    "no forms": (header(sform_code=0, qform_code=0), ALONE),
    "unknown sform code": (header(sform_code=99), "sform_code 99: must be from 0 to 5"),
    "negative qform code": (header(qform_code=-1), "qform_code -1: must be from 0 to 5"),
    "impossible quaternion": (header(sform_code=0, qform_code=1, quatern_b=3), UNREADABLE),
    "impossible quaternion beside an sform": (header(qform_code=1, quatern_b=3), SAME),
    "qform alone": (header(sform_code=0, qform_code=1), SAME),
    "sform against qform": (two_forms(AFFINE, ELSEWHERE), SAME),
    "qform against sform": (two_forms(ELSEWHERE, AFFINE), Segmented(nifti("plain.nii", affine=ELSEWHERE))),
    "sheared affine": (nifti(affine=AFFINE @ SHEAR), ALONE),
    "singular affine": (header(srow_z=0), f"voxels of 1 x 1.5 x 0 mm: {AXES}"),
    "parallel axes": (header(srow_x=[1, 1, 0, 0], srow_y=[1, 1, 0, 0]), f"singular affine .*: {AXES}"),
    "nearly parallel axes": (header(srow_x=[1, 1e3, 0, 0]), DISTANCE),
    "affine of zeros": (header(srow_x=0, srow_y=0, srow_z=0), f"voxels of 0 x 0 x 0 mm: {AXES}"),
    "affine of NaN": (header(srow_x=np.nan), f"affine with NaN or infinity: {AXES}"),
}
