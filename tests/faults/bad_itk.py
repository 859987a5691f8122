"""Broken or odd NRRD and MetaImage files, which ITK reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .bad_files import ALONE, AXES, SAME, SHAPE, UNREADABLE, VOXELS, Array, Kinds, Write, content, cut, edited, flipped


def itk(name: str, voxels: Array = VOXELS, *, vector: bool = False, compressed: bool = False) -> Write:
    """Return a writer of voxels (X, Y, Z), or of vectors (X, Y, Z, C), by SimpleITK."""

    def write(folder: Path) -> Path:
        image = sitk.GetImageFromArray(np.moveaxis(voxels, (0, 1, 2), (2, 1, 0)), isVector=vector)
        image.SetSpacing((1.0, 1.5, 2.0))
        image.SetOrigin((7.0, -5.0, -20.0))
        image.SetDirection((-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
        sitk.WriteImage(image, folder / name, useCompression=compressed)
        return folder / name

    return write


def nrrd(more: str = "", *, data: bytes | None = None, **fields: str) -> Write:
    """Return a writer of a NRRD file by hand; `fields` replace header fields, or remove them if empty."""
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
    end = "" if more.startswith("data file: LIST") else "\n"  # a list of files extends to the end of the header
    voxels = VOXELS.tobytes(order="F") if data is None else data
    return content("scan.nrrd", f"NRRD0005\n{text}{more}{end}".encode() + voxels)


def mhd(data_file: str, more: str = "") -> Write:
    """Return a writer of a MetaImage header with this data file; `{folder}` stands for its folder."""

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
    """Return a writer of a header and, in these files, its voxels."""

    def add(folder: Path) -> Path:
        for name, part in zip(names, np.array_split(VOXELS, len(names), axis=2), strict=True):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(part.tobytes(order="F"))
        return write(folder)

    return add


SLICES = [f"slice{index}.raw" for index in range(SHAPE[2])]
LIST = "LIST\n" + "\n".join(SLICES)

KINDS: Kinds = {
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
    "MetaImage of 2 dimensions": (
        edited(itk("scan.mha"), "NDims = 3", "NDims = 2"),
        r"2 dimensions \(14, 12\): must have 3",
    ),
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
}
