"""Whatever is fed to `hybridseg predict`: a right label map or an error of one line, and the other cases go on."""

from __future__ import annotations

import errno
import os
import pickle
import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from hybridseg.app.predictor import Predictor
from hybridseg.app.run_record import RunRecord
from hybridseg.networks import create_model
from hybridseg.transforms import LoadVolumed

from .bad_files import (
    AFFINE,
    LIST,
    SLICES,
    VOXELS,
    Array,
    Write,
    beside,
    big_endian,
    content,
    cut,
    edited,
    empty_folder,
    extended,
    flipped,
    header,
    itk,
    mhd,
    named,
    nifti,
    nrrd,
    pair,
    symlink,
    turned,
    two_forms,
    units,
    with_value,
    zipped,
)
from .conftest import Outcome, hybridseg, read_volume, write_volume

UNREADABLE = r"unreadable \(.*\): must be a whole, readable volume"
NOT_THERE = r"of int16 is 3360 bytes, at most \d+ are there: must be a whole"
AXES = "the affine must be finite and its three axes independent"
DISTANCE = r"must measure 1 to 4000 mm and lie within 1e\+06 mm of the origin"
SHEAR = np.array([[1, 0.3, 0, 0], [0, 1, 0.2, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
ELSEWHERE = np.diag([-1.0, -1, 1, 1]) @ np.eye(4)[[2, 0, 1, 3]] @ AFFINE
LONG_NAME = "n" * 248  # with .nii.gz as long as a name may be


@dataclass(frozen=True)
class Segmented:
    """What is no fault: the label map is that of a file that is plain.

    Args:
        plain: the same image, plainly written; None when there is none.
    """

    plain: Write | None


SAME, ALONE = Segmented(nifti("plain.nii")), Segmented(None)


def scaled(scale: float, intercept: float) -> Segmented:
    """The image with its intensities scaled, plainly written."""
    return Segmented(nifti("plain.nii", (scale * VOXELS + intercept).astype(np.float32)))


KINDS: dict[str, tuple[Write, str | Segmented]] = {
    # Compression
    "gzip truncated": (cut(nifti("scan.nii.gz"), keep=0.6), UNREADABLE),
    "gzip truncated in the header": (cut(nifti("scan.nii.gz"), keep=0.01), UNREADABLE),
    "gzip without checksum": (cut(nifti("scan.nii.gz"), drop=8), UNREADABLE),
    "gzip with a wrong checksum": (flipped(nifti("scan.nii.gz"), -6), "CRC check failed"),
    "gzip with garbage behind": (zipped(nifti(), tail=b"garbage"), UNREADABLE),
    "gzip with zeros behind": (zipped(nifti(), tail=bytes(600)), SAME),
    "gzip twice": (zipped(nifti(), times=2), UNREADABLE),
    "gzip of nothing": (zipped(content("scan.nii")), UNREADABLE),
    "gzip of text": (zipped(content("scan.nii", b"hello" * 400)), UNREADABLE),
    "gzip called .nii": (named("scan.nii", nifti("a.nii.gz")), UNREADABLE),
    "uncompressed called .nii.gz": (named("scan.nii.gz", nifti()), r"unreadable \(Not a gzipped file .*\): must be"),
    # No volume
    **{f"empty {name}": (content(f"scan{name}"), UNREADABLE) for name in (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")},
    "picture called .nii": (content("scan.nii", b"\x89PNG\r\n\x1a\n" + bytes(500)), UNREADABLE),
    "DICOM called .nii": (content("scan.nii", bytes(128) + b"DICM" + bytes(500)), UNREADABLE),
    "NIfTI called .nrrd": (named("scan.nrrd", nifti()), r"unreadable \(begins with .* instead of b'NRRD'\)"),
    "NIfTI called .mha": (named("scan.mha", nifti()), UNREADABLE),
    "MetaImage called .nrrd": (named("scan.nrrd", itk("a.mha")), r"unreadable \(begins with b'Obje' instead"),
    "NRRD called .nii": (named("scan.nii", itk("a.nrrd")), UNREADABLE),
    "Analyze called .nii": (named("scan.nii", pair(nib.AnalyzeImage)), UNREADABLE),
    "header of a pair called .nii": (
        named("scan.nii", pair(nib.Nifti1Pair)),
        r"vox_offset 0: must be at least 352, behind the header",
    ),
    # NIfTI: what the header claims
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
    "voxels beyond the gzip": (zipped(header(vox_offset=1e30)), NOT_THERE),
    "voxels a byte late": (header(vox_offset=353), NOT_THERE),
    "voxels in the header": (header(vox_offset=0), "vox_offset 0: must be at least 352, behind the header"),
    "voxels at NaN": (header(vox_offset=np.nan), UNREADABLE),
    "voxels before the file": (header(vox_offset=-16), UNREADABLE),
    "complex voxels": (nifti(voxels=VOXELS.astype(np.complex64)), "complex64 voxels: voxels must be real numbers"),
    "RGB voxels": (header(datatype=128, bitpix=24), "RGB voxels: voxels must be real numbers"),
    "one bit a voxel": (header(datatype=1, bitpix=1), r"unreadable \(data code 1 not supported\)"),
    "unknown voxel type": (header(datatype=7), r"unreadable \(data code 7 not recognized\)"),
    "float128 voxels cut short": (header(datatype=1536, bitpix=128), "float128|data code 1536"),
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
    "slope huge": (header(scl_slope=1e37, scl_inter=0), "voxels are NaN or infinite|must be within"),
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
    "all but parallel axes": (header(srow_x=[1, 1e3, 0, 0]), DISTANCE),
    "affine of zeros": (header(srow_x=0, srow_y=0, srow_z=0), f"voxels of 0 x 0 x 0 mm: {AXES}"),
    "affine of NaN": (header(srow_x=np.nan), f"affine with NaN or infinity: {AXES}"),
    # NRRD
    "NRRD": (nrrd(), SAME),
    "NRRD of another space": (
        nrrd(space="RAS", space_directions="(1,0,0) (0,1.5,0) (0,0,2)", space_origin="(-7,5,-20)"),
        SAME,
    ),
    "big-endian NRRD": (nrrd(data=VOXELS.astype(">i2").tobytes(order="F"), endian="big"), SAME),
    "NRRD of text": (nrrd(data=" ".join(map(str, VOXELS.ravel(order="F"))).encode(), encoding="ascii"), SAME),
    "NRRD of too little text": (nrrd(data=b"1 2 3", encoding="ascii"), UNREADABLE),
    "NRRD of slices": (beside(nrrd(f"data file: {LIST}\n", data=b""), *SLICES), SAME),
    "NRRD without a slice": (beside(nrrd(f"data file: {LIST}\n", data=b""), *SLICES[:-1]), UNREADABLE),
    "NRRD without its data": (nrrd("data file: gone.raw\n", data=b""), "its data file gone.raw does not exist"),
    "NRRD of a device": (nrrd("data file: /dev/zero\n", data=b""), "its data file /dev/zero does not exist"),
    "NRRD that is its own data": (nrrd("data file: scan.nrrd\n"), "data file scan.nrrd: must be another file than its"),
    "NRRD cut short": (nrrd(data=b"1234"), r"is 3360 bytes, at most 4 are there: must be a whole"),
    "NRRD of unknown encoding": (nrrd(encoding="zip"), UNREADABLE),
    "compressed NRRD": (itk("scan.nrrd", compressed=True), SAME),
    "compressed NRRD cut short": (cut(itk("scan.nrrd", compressed=True), keep=0.8), "compressed voxels end early"),
    "compressed NRRD damaged": (flipped(itk("scan.nrrd", compressed=True), -6), "incorrect data check"),
    "NRRD of negative size": (nrrd(sizes="14 -12 10"), UNREADABLE),
    "NRRD of huge size": (nrrd(sizes="99999 99999 99999"), "1999940000599998 bytes, at most 3360 are there"),
    "NRRD of impossible size": (nrrd(sizes="99999999999 99999999999 99999999999"), UNREADABLE),
    "NRRD of parallel axes": (nrrd(space_directions="(1,0,0) (1,0,0) (0,0,2)"), AXES),
    "NRRD without an axis": (nrrd(space_directions="(0,0,0) (0,1,0) (0,0,2)"), AXES),
    "NRRD with an axis of NaN": (nrrd(space_directions="(nan,0,0) (0,1,0) (0,0,2)"), UNREADABLE),
    "sheared NRRD": (nrrd(space_directions="(1,0,0) (.5,1,0) (0,0,2)"), ALONE),
    "NRRD without place": (nrrd(space="", space_directions="", space_origin=""), ALONE),
    "NRRD in metres": (nrrd('space units: "m" "m" "m"\n'), "space units 'm': lengths must be in mm"),
    "NRRD with a field that ITK overflows": (nrrd(kinds="x" * 5000), "header field of 5007 bytes: must have at most"),
    "NRRD with a long remark": (nrrd(f"remark:={'x' * 5000}\n"), SAME),
    "NRRD of zeros": (content("scan.nrrd", b"NRRD0005\n" + bytes(1000)), "header field of 1000 bytes: must have"),
    "NRRD that ends in its header": (content("scan.nrrd", b"NRRD0005\ntype: int16"), UNREADABLE),
    # MetaImage
    "MetaImage": (itk("scan.mha"), SAME),
    "MetaImage in two files": (itk("scan.mhd"), SAME),
    "MetaImage with an absolute path": (beside(mhd("{folder}/voxels.raw"), "voxels.raw"), SAME),
    "MetaImage with a path above": (beside(mhd("../voxels.raw"), "../voxels.raw"), SAME),
    "MetaImage with spaces": (beside(mhd("my voxels.raw"), "my voxels.raw"), SAME),
    "MetaImage of slices": (beside(mhd(LIST), *SLICES), SAME),
    "MetaImage of a pattern": (beside(mhd("slice%d.raw 0 9 1"), *SLICES), SAME),
    "MetaImage without a slice": (beside(mhd(LIST), *SLICES[:-1]), UNREADABLE),
    "MetaImage without slices": (mhd("slice%d.raw 0 9 1"), UNREADABLE),
    "MetaImage without its data": (mhd("gone.raw"), "its data file gone.raw does not exist"),
    "MetaImage without its data, with spaces": (mhd("my voxels.raw"), UNREADABLE),
    "MetaImage of a device": (mhd("/dev/zero"), "its data file /dev/zero does not exist"),
    "MetaImage of a folder": (mhd("."), "its data file . does not exist"),
    "MetaImage of nothing": (mhd(""), UNREADABLE),
    "MetaImage that is its own data": (mhd("scan.mhd"), "data file scan.mhd: must be another file than its header"),
    "MetaImage that skips too much": (beside(mhd("a.raw", "HeaderSize = 1000\n"), "a.raw"), "at most 2360 are there"),
    "MetaImage cut short": (cut(itk("scan.mha"), drop=2), "is 3360 bytes, at most 3358 are there"),
    "compressed MetaImage": (itk("scan.mha", compressed=True), SAME),
    "compressed MetaImage damaged": (flipped(itk("scan.mha", compressed=True), -3), "incorrect data check"),
    "MetaImage called compressed": (
        edited(itk("scan.mha"), "CompressedData = False", "CompressedData = True"),
        "header",
    ),
    "MetaImage that misstates its bytes": (
        edited(itk("scan.mha", compressed=True), "CompressedDataSize = ", "CompressedDataSize = 9"),
        UNREADABLE,
    ),
    **{
        f"MetaImage of {count} dimensions": (
            edited(itk("scan.mha"), "NDims = 3", f"NDims = {count}"),
            f"NDims '{count}': must be from 1 to 10",
        )
        for count in ("0", "-1", "300", "2147483648")
    },
    "MetaImage of 2 dimensions": (edited(itk("scan.mha"), "NDims = 3", "NDims = 2"), "dimensions|unreadable"),
    "MetaImage of negative size": (edited(itk("scan.mha"), "DimSize = 14", "DimSize = -14"), "at most 3360 are there"),
    "MetaImage of too few sizes": (edited(itk("scan.mha"), "14 12 10", "14 12"), UNREADABLE),
    "MetaImage of words for sizes": (edited(itk("scan.mha"), "14 12 10", "a b c"), UNREADABLE),
    "MetaImage of huge size": (edited(itk("scan.mha"), "14 12 10", "99999 99999 99999"), "at most 3360 are there"),
    "MetaImage of strings": (edited(itk("scan.mha"), "MET_SHORT", "MET_STRING"), "ElementType 'MET_STRING': must be"),
    "MetaImage of vectors": (itk("scan.mha", np.stack([VOXELS] * 2, -1), vector=True), r"2 channels \(shape .*: must"),
    "MetaImage with a slice": (itk("scan.mha", VOXELS[:, :, :1]), ALONE),
    "MetaImage of parallel axes": (
        edited(itk("scan.mha"), "-1 0 0 0 -1 0", "-1 0 0 -1 0 0"),
        f"singular affine.*{AXES}",
    ),
    "MetaImage of negative spacing": (
        edited(itk("scan.mha"), "ElementSpacing = 1", "ElementSpacing = -1"),
        r"spacing \(-1.0, 1.5, 2.0\): must be above 0",
    ),
    "MetaImage of no spacing": (edited(itk("scan.mha"), "ElementSpacing = 1", "ElementSpacing = nan"), AXES),
    "MetaImage in cm": (
        edited(itk("scan.mha"), "ElementSpacing", "DistanceUnits = cm\nElementSpacing"),
        "DistanceUnits 'cm': lengths must be in mm",
    ),
    # Names
    "upper case .NII.GZ": (named("SCAN.NII.GZ", nifti("a.nii.gz")), SAME),
    "upper case .NII": (named("SCAN.NII", nifti()), SAME),
    "upper case .NRRD": (named("SCAN.NRRD", itk("a.nrrd")), SAME),
    "upper case .MHA": (named("SCAN.MHA", itk("a.mha")), SAME),
    "name with spaces": (named("my  scan of today .nii", nifti()), SAME),
    "name with spaces, broken": (named("my  scan .nii", content("a")), UNREADABLE),
    "name with a line break": (named("my\nscan.nii", nifti()), SAME),
    "name with a line break, broken": (named("my\nscan.nii", content("a")), UNREADABLE),
    "name with an escape": (named("\x1b[31mred.nii", nifti()), SAME),
    "name with an escape, broken": (named("\x1b[31mred.nii", content("a")), rf"\\x1b\[31mred.nii: {UNREADABLE}"),
    "name beyond ASCII": (named("Ünïcødé 脳 🧠.nii", nifti()), SAME),
    "name beyond ASCII, MetaImage": (named("Ünïcødé 脳 🧠.mha", itk("a.mha")), SAME),
    "name beyond ASCII, broken": (named("Ünïcødé 脳 🧠.nii", content("a")), f"Ünïcødé 脳 🧠.nii: {UNREADABLE}"),
    "name beyond UTF-8": (named(os.fsdecode(b"\xff\xfe.nii"), nifti()), SAME),
    "name beyond UTF-8, broken": (named(os.fsdecode(b"\xff\xfe.nii"), content("a")), UNREADABLE),
    "name with wildcards": (named("a%s{0}[1]*?.nii", nifti()), SAME),
    "name of an option": (named("--output.nii", nifti()), SAME),
    "longest name": (named(f"{LONG_NAME}.nii.gz", nifti("a.nii.gz")), SAME),
    "longest name, broken": (named(f"{LONG_NAME}.nii.gz", content("a")), f"{LONG_NAME}.nii.gz: {UNREADABLE}"),
    # Not a file
    "a pipe": (lambda folder: make_pipe(folder / "scan.nii"), "not a file: must be a file that exists"),
    "a zip that is none": (content("scan.zip", b"PK\x03\x04" + bytes(100)), r"scan\.zip"),
}


def make_pipe(path: Path) -> Path:
    """A pipe, at which a reader would wait forever."""
    os.mkfifo(path)
    return path


def predict(bundle: Path, output: Path, *words: str | Path) -> Outcome:
    """Type `hybridseg predict`."""
    return hybridseg("predict", *words, "-o", output, "--bundle", bundle)


def label_maps(output: Path) -> list[str]:
    """All that lies in an output folder, except the record of the run."""
    return sorted(path.name for path in output.iterdir() if path.name != "run.json") if output.exists() else []


def in_world(labels: nib.Nifti1Image) -> tuple[Array, Array]:
    """Voxels and affine of a label map with its axes along right, anterior, superior."""
    canonical = nib.as_closest_canonical(labels)
    return np.asarray(canonical.dataobj), np.asarray(canonical.affine)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder beside others."""
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


@pytest.mark.parametrize("kind", [kind for kind, (_, end) in KINDS.items() if isinstance(end, str)])
def test_what_cannot_be_segmented_is_one_line_and_the_next_case_goes_on(
    bundle: Path, folder: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write, message = KINDS[kind]
    assert isinstance(message, str)
    image, good = write(folder), nifti("good.nii")(folder)
    output = folder.parent / "out"
    outcome = predict(bundle, output, image, good)
    assert outcome.code == 1
    (line,) = outcome.err.splitlines()
    shown = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(image))
    assert line.startswith(f"hybridseg predict: {shown}: ")
    assert line.isprintable()
    assert re.search(message, line)
    assert "Traceback" not in outcome.out + outcome.err
    assert capfd.readouterr() == ("", "")  # no library prints beside it
    assert label_maps(output) == ["good.nii.gz"]


@pytest.mark.parametrize("kind", [kind for kind, (_, end) in KINDS.items() if isinstance(end, Segmented)])
def test_what_can_be_segmented_gives_the_labels_of_the_plain_image(
    bundle: Path, folder: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write, end = KINDS[kind]
    assert isinstance(end, Segmented)
    image, plain = write(folder), (end.plain or nifti("plain.nii"))(folder)
    output = folder.parent / "out"
    outcome = predict(bundle, output, image, plain)
    assert (outcome.code, outcome.err, capfd.readouterr()) == (0, "", ("", ""))
    (name,) = set(label_maps(output)) - {"plain.nii.gz"}
    labels = read_volume(output / name)
    source = LoadVolumed("image")({"image": str(image)})["image"]
    assert labels.shape == tuple(source.meta["spatial_shape"])
    np.testing.assert_allclose(np.asarray(labels.affine), source.meta["original_affine"], rtol=1e-6, atol=1e-5)
    if end.plain is None:
        return
    found, expected = in_world(labels), in_world(read_volume(output / "plain.nii.gz"))
    assert len(np.unique(expected[0])) > 1
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], atol=1e-4)


# Wrong usage


class Trap:
    """Something that runs code when it is unpickled carelessly."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def weights(tmp_path: Path) -> dict[str, Path]:
    """Files that are no weights of the bundle's network."""
    files = {name: tmp_path / f"{name}.pt" for name in ("other", "trap", "pickle", "empty", "cut", "image")}
    torch.save(create_model("tiny", in_channels=1, out_channels=6).state_dict(), files["other"])
    torch.save({"weight": Trap(tmp_path / "sprung")}, files["trap"])
    files["pickle"].write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    files["empty"].touch()
    files["cut"].write_bytes(files["other"].read_bytes()[:5000])
    write_volume(tmp_path / "image.nii").rename(files["image"])
    return files


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other", "tensors are missing, unknown or of another shape, such as .*: must be weights of the bundle's"),
        *((name, "unreadable: must be a state dict saved by torch.save") for name in ("trap", "pickle", "empty")),
        *((name, "unreadable: must be a state dict saved by torch.save") for name in ("cut", "image")),
    ],
)
def test_weights_that_are_none_are_refused_and_no_code_in_them_runs(
    bundle: Path, folder: Path, weights: dict[str, Path], name: str, message: str
) -> None:
    outcome = predict(bundle, folder.parent / "out", nifti()(folder), "--checkpoint", weights[name])
    assert outcome.code == 2
    assert re.fullmatch(rf"hybridseg predict: {re.escape(str(weights[name]))}: .*{message}.*\n", outcome.err)
    assert not (folder.parent / "sprung").exists()
    assert label_maps(folder.parent / "out") == []


USAGE: dict[str, tuple[Write, str]] = {
    "missing": (lambda folder: folder / "gone.nii", "gone.nii: does not exist: must be a file or a folder"),
    "link to itself": (symlink("scan.nii"), "scan.nii: does not exist: must be a file or a folder"),
    "link to nothing": (symlink("gone.nii"), "scan.nii: does not exist: must be a file or a folder"),
    "empty folder": (empty_folder("scans"), "scans: .*: a folder must hold"),
    "empty folder called .nii.gz": (empty_folder("scan.nii.gz"), "scan.nii.gz: .*: a folder must hold"),
    "pair": (pair(nib.Nifti1Pair), "scan.hdr: extension '.hdr': must be one of .nii.gz, .nii"),
    "Analyze": (pair(nib.AnalyzeImage), "scan.hdr: extension '.hdr': must be one of .nii.gz, .nii"),
    "other extension": (named("scan.nii.zst", nifti()), "scan.nii.zst: extension '.zst': must be one of .nii.gz, .nii"),
    "list of nothing": (content("scans.csv", b"case,image\n"), r"scans\.csv: "),
    "list of what is not there": (content("scans.csv", b"case,image\na,gone.nii\n"), r"scans\.csv: .*gone\.nii"),
    "list with a way out": (content("scans.csv", b"case,image\n../a,good.nii\n"), r"scans\.csv: .*without folders"),
    "list that is none": (content("scans.json", b"{"), r"scans\.json: "),
    "duplicate name": (
        named("good.nii.gz", nifti("a.nii.gz")),
        "good.nii.*: case name 'good', as .*: every input needs",
    ),
}


@pytest.mark.parametrize("kind", USAGE)
def test_wrong_usage_is_one_line_before_anything_is_written(bundle: Path, folder: Path, kind: str) -> None:
    write, message = USAGE[kind]
    outcome = predict(bundle, folder.parent / "out", write(folder), nifti("good.nii")(folder))
    assert (outcome.code, outcome.out) == (2, "")
    (line,) = outcome.err.splitlines()
    assert line.startswith("hybridseg predict: ")
    assert re.search(message, line)
    assert label_maps(folder.parent / "out") == []


def test_links_to_nowhere_in_a_folder_do_not_keep_the_others(bundle: Path, folder: Path) -> None:
    symlink("scan.nii")(folder)
    empty_folder("folder.nii.gz")(folder)
    nifti("good.nii")(folder)
    outcome = predict(bundle, folder.parent / "out", folder)
    assert outcome.code == 1
    assert outcome.err == f"hybridseg predict: {folder / 'scan.nii'}: not a file: must be a file that exists\n"
    assert label_maps(folder.parent / "out") == ["good.nii.gz"]


def test_an_output_below_a_file_is_refused(bundle: Path, folder: Path) -> None:
    image = nifti()(folder)
    outcome = predict(bundle, image / "out", image)
    rule = "must be a folder that can be made and written to"
    assert (outcome.code, outcome.err) == (
        2,
        f"hybridseg predict: output: {image / 'out'}: Not a directory: {rule}\n",
    )


def test_a_read_only_output_is_refused(bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybridseg.app.folders.os.access", lambda *_: False)  # root may write everywhere
    outcome = predict(bundle, folder / "out", nifti()(folder))
    assert outcome.code == 2
    assert re.fullmatch(r"hybridseg predict: output: .*/out: no permission: must be a folder that .*\n", outcome.err)


# What goes wrong on the way


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes: a writer gets an error as from a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_no_part_and_the_smaller_case_goes_on(bundle: Path, folder: Path) -> None:
    large = nifti("large.nii", np.random.default_rng(0).normal(size=(40, 40, 40)).astype(np.float32))(folder)
    small, output = nifti("small.nii")(folder), folder.parent / "out"
    assert predict(bundle, output, large, small).code == 0
    sizes = [(output / f"{name}.nii.gz").stat().st_size for name in ("large", "small")]
    (output / "large.nii.gz").unlink()
    (output / "small.nii.gz").unlink()
    (output / "run.json").unlink()
    limit = sizes[0] - 100
    assert limit > max(sizes[1], 4000)  # the record of the run needs less
    with largest_file(limit):
        outcome = predict(bundle, output, large, small)
    assert outcome.code == 1
    (line,) = outcome.err.splitlines()
    assert line.startswith(f"hybridseg predict: {large}: ")
    assert line.endswith(f"{output / 'large.nii.gz'}: {os.strerror(errno.EFBIG)}: the label map must be writable there")
    assert label_maps(output) == ["small.nii.gz"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_disk_that_fails_leaves_no_part_and_the_next_case_goes_on(
    bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    one, two, output = nifti("one.nii")(folder), nifti("two.nii")(folder), folder.parent / "out"
    to_stream, calls = nib.Nifti1Image.to_stream, []

    def fail_once(image: nib.Nifti1Image, stream: Any) -> None:
        calls.append(stream)
        if len(calls) > 1:
            to_stream(image, stream)
            return
        stream.write(b"half of it")
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(nib.Nifti1Image, "to_stream", fail_once)
    outcome = predict(bundle, output, one, two)
    assert outcome.code == 1
    rule = "the label map must be writable there"
    message = f"{one}: {output / 'one.nii.gz'}: {os.strerror(number)}: {rule}"
    assert outcome.err == f"hybridseg predict: {message}\n"
    assert label_maps(output) == ["two.nii.gz"]


def test_a_file_that_may_not_be_read_is_one_line(bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, load = nifti("one.nii")(folder), nifti("two.nii")(folder), nib.load

    def refuse(path: str | Path, **options: Any) -> Any:
        if Path(path).name == "one.nii":  # root may read everything
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return load(path, **options)

    monkeypatch.setattr("hybridseg.transforms.headers.nib.load", refuse)
    outcome = predict(bundle, folder.parent / "out", one, two)
    assert outcome.code == 1
    assert re.fullmatch(rf"hybridseg predict: {one}: unreadable \(.*Permission denied.*\): must be .*\n", outcome.err)
    assert label_maps(folder.parent / "out") == ["two.nii.gz"]


def test_a_file_that_disappears_is_one_line(bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, prepare = nifti("one.nii")(folder), nifti("two.nii")(folder), Predictor.prepare

    def remove_first(predictor: Predictor, case: Any) -> Any:
        one.unlink(missing_ok=True)
        return prepare(predictor, case)

    monkeypatch.setattr(Predictor, "prepare", remove_first)
    outcome = predict(bundle, folder.parent / "out", one, two)
    assert outcome.code == 1
    assert outcome.err == f"hybridseg predict: {one}: not a file: must be a file that exists\n"
    assert label_maps(folder.parent / "out") == ["two.nii.gz"]


def test_weights_of_nan_are_an_error_and_no_empty_mask(bundle: Path, folder: Path) -> None:
    state = torch.load(bundle / "models" / "model.pt", weights_only=True)
    torch.save({name: tensor * torch.nan for name, tensor in state.items()}, folder / "nan.pt")
    image = nifti()(folder)
    outcome = predict(bundle, folder.parent / "out", image, "--checkpoint", folder / "nan.pt")
    assert outcome.code == 1
    assert outcome.err == f"hybridseg predict: {image}: logits: NaN: must be numbers\n"
    assert label_maps(folder.parent / "out") == []


def test_a_record_that_cannot_be_written_does_not_keep_the_other_cases(
    bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, output = nifti("one.nii")(folder), nifti("two.nii")(folder), folder.parent / "out"

    def full(record: RunRecord, *, finished: bool = False) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(record.folder / "run.json"))

    monkeypatch.setattr(RunRecord, "write", full)
    outcome = predict(bundle, output, one, two)
    assert outcome.code == 1
    assert "run.json: No space left on device" in outcome.err
    assert label_maps(output) == ["one.nii.gz", "two.nii.gz"]
