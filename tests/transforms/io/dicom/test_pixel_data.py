"""A slice whose pixel data are not as long as its header says is an error; storage that GDCM reads is accepted."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    BasicTextSRStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from hybridseg.transforms import LoadVolumed, VolumeError

from .dicom_files import write_series

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (48, 64, 3)).astype(np.int16)
EXPLICIT_ELEMENT = b"\xfc\xff\xfc\xffOB\0\0"
"""Data Set Trailing Padding, whose length and value follow."""


def load(folder: Path) -> np.ndarray:
    volume = LoadVolumed("image")({"image": folder})["image"]
    return volume[0].numpy()


def edit(change: Callable[[Any], object]) -> Callable[[Path], None]:
    """Return a change of a file that pydicom makes."""

    def apply(file: Path) -> None:
        dataset = pydicom.dcmread(file)
        change(dataset)
        dataset.save_as(file)

    return apply


def scale_rows(factor: float) -> Callable[[Any], object]:
    def change(dataset: Any) -> None:
        dataset.Rows = int(dataset.Rows * factor)

    return change


def stored_as(syntax: Any) -> Callable[[Any], object]:
    def change(dataset: Any) -> None:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset["PixelData"].VR = "OW"

    return change


def big_endian(file: Path) -> None:
    dataset = pydicom.dcmread(file)
    pixels = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
    for element in dataset.iterall():
        _ = element.value  # interpreted before the byte order changes
    dataset.PixelData = pixels
    dataset["PixelData"].VR = "OW"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dcmwrite(file, dataset, implicit_vr=False, little_endian=False, force_encoding=True)


def compressed(syntax: Any, change: Callable[[bytes], bytes] = bytes) -> Callable[[Any], object]:
    """Compress the voxels, then change what they are compressed to."""

    def apply(dataset: Any) -> None:
        dataset.compress(syntax)
        (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
        dataset.PixelData = encapsulate([change(frame)])

    return apply


def both(*changes: Callable[[Any], object]) -> Callable[[Any], object]:
    def apply(dataset: Any) -> None:
        for change in changes:
            change(dataset)

    return apply


def cut(keep: int) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        file.write_bytes(file.read_bytes()[:keep])

    return change


def append(more: bytes) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        file.write_bytes(file.read_bytes() + more)

    return change


ACCEPTED: dict[str, Callable[[Path], None]] = {
    "explicit": edit(stored_as(ExplicitVRLittleEndian)),
    "big endian": big_endian,
    "deflated": edit(stored_as(DeflatedExplicitVRLittleEndian)),
    "run lengths": edit(compressed(RLELossless)),
    "JPEG-LS": edit(compressed(JPEGLSLossless)),
    "padding element": lambda file: explicit_with(file, EXPLICIT_ELEMENT + struct.pack("<I", 6) + b"secret"),
}


def explicit_with(file: Path, more: bytes) -> None:
    edit(stored_as(ExplicitVRLittleEndian))(file)
    append(more)(file)


@pytest.mark.parametrize("name", ACCEPTED)
def test_storage_that_gdcm_reads_is_accepted(tmp_path: Path, name: str) -> None:
    if name == "JPEG-LS":
        pytest.importorskip("jpeg_ls", reason="needs pyjpegls, to write JPEG-LS")
    for file in write_series(tmp_path / "ct", VOXELS):
        ACCEPTED[name](file)
    np.testing.assert_array_equal(load(tmp_path / "ct"), VOXELS)


def compress_and_cut(file: Path, keep: int) -> None:
    edit(compressed(RLELossless))(file)
    cut(keep)(file)


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "twice the rows": (edit(scale_rows(2)), "pixel data of 6144 bytes, 128 rows, 48 columns and 16 bits need 12288:"),
    "half the rows": (edit(scale_rows(0.5)), "pixel data of 6144 bytes, 32 rows, 48 columns and 16 bits need 3072:"),
    "no bytes": (cut(0), "not DICOM, or its start is missing: must be a whole DICOM file"),
    "cut in its preamble": (cut(100), "not DICOM, or its start is missing"),
    "cut before its image": (cut(600), "an image without pixel data: must be a whole file"),
    "cut in its last bytes": (cut(-2), "pixel data of 6144 bytes, the last 2 are missing"),
    "no bits": (edit(lambda dataset: setattr(dataset, "BitsStored", 0)), "BitsStored 0, HighBit 15: BitsStored must"),
    "too many bits": (edit(lambda dataset: setattr(dataset, "HighBit", 20)), "HighBit 20: BitsStored must fit"),
    "unknown colours": (
        edit(lambda dataset: setattr(dataset, "PhotometricInterpretation", "MONOCHRO")),
        "PhotometricInterpretation 'MONOCHRO': must be one of MONOCHROME1, MONOCHROME2",
    ),
    "bytes at its end": (append(b"\1\2" * 100), "200 bytes after the pixel data"),
    "zeros at its end": (append(b"\0" * 100), "100 bytes after the pixel data"),
    "another slice at its end": (append(VOXELS[:, :, 0].tobytes()), "6144 bytes after the pixel data"),
    "run lengths cut": (
        edit(compressed(RLELossless, lambda frame: frame[:-4])),
        "run-length encoded pixel data of 30",
    ),
    "run lengths of more rows": (
        edit(both(compressed(RLELossless), scale_rows(2))),
        "run-length encoded pixel data of 3072 voxels instead of 6144",
    ),
    "run lengths of fewer rows": (
        edit(both(compressed(RLELossless), scale_rows(0.5))),
        "run-length encoded pixel data of 3072 voxels instead of 1536",
    ),
    "JPEG-LS cut": (edit(compressed(JPEGLSLossless, lambda frame: frame[:-100])), "pixel data without an end mark"),
    "JPEG-LS of more rows": (edit(both(compressed(JPEGLSLossless), scale_rows(2))), r"columns\) \(64, 48\), 128 rows"),
    "JPEG-LS of fewer rows": (edit(both(compressed(JPEGLSLossless), scale_rows(0.5))), r"columns\) \(64, 48\), 32 row"),
    "fragments cut": (lambda file: compress_and_cut(file, -9), "are missing"),
}


@pytest.mark.parametrize("every", [True, False], ids=["every slice", "last slice"])
@pytest.mark.parametrize("name", REFUSED)
def test_wrong_length_fails_the_series(tmp_path: Path, name: str, every: bool) -> None:
    if name.startswith("JPEG-LS"):
        pytest.importorskip("jpeg_ls", reason="needs pyjpegls, to write JPEG-LS")
    change, message = REFUSED[name]
    files = write_series(tmp_path / "ct", VOXELS)
    for file in files if every else files[-1:]:
        change(file)
    with pytest.raises(VolumeError, match=message if every else f"{message}|shape .*, but .*: all slices") as caught:
        load(tmp_path / "ct")
    assert Path(caught.value.path).parent == tmp_path / "ct"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [150, 165, 172, 178, 200, 300, 330, 345, 360, 400, 500, 700, 900])
def test_slice_cut_anywhere_fails_the_series(tmp_path: Path, keep: int) -> None:
    """It is not left out: a volume of fewer slices would be wrong without a word."""
    files = write_series(tmp_path / "ct", VOXELS)
    cut(keep)(files[-1])
    with pytest.raises(VolumeError, match=files[-1].name):
        load(tmp_path / "ct")


def test_report_beside_the_slices_is_no_image(tmp_path: Path) -> None:
    (file, *_) = write_series(tmp_path / "ct", VOXELS)
    report = pydicom.dcmread(file)
    for name in ("PixelData", "Rows", "Columns", "BitsAllocated", "SamplesPerPixel"):
        delattr(report, name)
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    report.save_as(tmp_path / "ct" / "report.dcm")
    np.testing.assert_array_equal(load(tmp_path / "ct"), VOXELS)


def test_cut_deflated_file_fails_the_series(tmp_path: Path) -> None:
    files = write_series(tmp_path / "ct", VOXELS)
    edit(stored_as(DeflatedExplicitVRLittleEndian))(files[0])
    content = files[0].read_bytes()
    files[0].write_bytes(content[:-20])
    with pytest.raises(VolumeError, match=rf"{files[0].name}: unreadable \(deflated elements end early\)"):
        load(tmp_path / "ct")
