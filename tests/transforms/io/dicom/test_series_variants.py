"""Series of single slices as scanners and archives store them: each is read as the known volume, or an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MediaStorageDirectoryStorage,
    NuclearMedicineImageStorage,
    SecondaryCaptureImageStorage,
)

from hybridseg.transforms import VolumeError
from hybridseg.transforms.io.dicom import DicomFolder

from .dicom_files import VOXELS, same_locale
from .pydicom_files import EVEN, Change, jpeg_2000, sequence, write_classic, write_enhanced
from .variants import check_error, check_known_volume, load, two_in_one_series, zipped


def inverted(dataset: Any, index: int) -> None:
    dataset.PhotometricInterpretation = "MONOCHROME1"


def inverted_icon(dataset: Any, index: int) -> None:
    """The icon before the image has a photometric interpretation too."""
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.IconImageSequence = sequence(
        PhotometricInterpretation="MONOCHROME1", Rows=1, Columns=2, BitsAllocated=8, PixelData=b"\1\2"
    )


def inverted_12_bit(dataset: Any, index: int) -> None:
    inverted(dataset, index)
    dataset.BitsStored, dataset.HighBit = 12, 11


def signed(dataset: Any, index: int) -> None:
    values = np.frombuffer(dataset.PixelData, "<u2").astype(np.int16) - 1024
    dataset.PixelRepresentation, dataset.RescaleIntercept = 1, 0
    dataset.PixelData = values.astype("<i2").tobytes()


def inverted_signed(dataset: Any, index: int) -> None:
    inverted(dataset, index)
    signed(dataset, index)


def slope_of_its_own(dataset: Any, index: int) -> None:
    slope = 2.0**-index
    values = np.frombuffer(dataset.PixelData, "<u2") / slope
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.RescaleSlope, dataset.PixelData = slope, values.astype("<u2").tobytes()
    dataset.Units = "GML"


def high_bits(dataset: Any, index: int) -> None:
    """Store 12 bits, above which an overlay is kept, as old scanners did."""
    values = np.frombuffer(dataset.PixelData, "<u2")
    dataset.BitsStored, dataset.HighBit = 12, 11
    dataset.PixelData = (values | np.uint16(0x1000 << index % 4)).tobytes()


def signed_12_bit(dataset: Any, index: int) -> None:
    """Negative values whose high bits are zeros."""
    signed(dataset, index)
    dataset.BitsStored, dataset.HighBit = 12, 11
    dataset.PixelData = (np.frombuffer(dataset.PixelData, "<u2") & 0x0FFF).tobytes()


def as_jpeg_2000(dataset: Any, index: int) -> None:
    jpeg_2000(dataset)


def without_meta_header(dataset: Any, path: Path) -> None:
    """Write the elements alone, as nodes do that store what they receive."""
    del dataset.file_meta
    dcmwrite(path.with_suffix(".dcm"), dataset, implicit_vr=True, little_endian=True)


def with_values(**values: Any) -> Change:
    def change(dataset: Any, index: int) -> None:
        for name, value in values.items():
            setattr(dataset, name, value)

    return change


def without(*names: str) -> Change:
    def change(dataset: Any, index: int) -> None:
        for name in names:
            delattr(dataset, name)

    return change


def padded(dataset: Any, index: int) -> None:
    dataset.add_new("PixelPaddingValue", "US", 24)


def in_hounsfield(dataset: Any, index: int) -> None:
    """Store HU themselves, without rescaling."""
    signed(dataset, index)
    del dataset.RescaleSlope, dataset.RescaleIntercept


def with_directory(folder: Path) -> Path:
    """Write the index of a CD beside the slices."""
    write_classic(folder)
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = UID("1.2.66")
    directory.FileSetID, directory.DirectoryRecordSequence = "CD", []
    directory.save_as(folder / "DICOMDIR", enforce_file_format=True)
    return folder


def with_capture(folder: Path) -> DicomFolder:
    """Write a dose report as a picture beside the slices, which has no place in the patient."""
    write_classic(folder)

    def capture(dataset: Any, index: int) -> None:
        dataset.SOPClassUID, dataset.ImageType = SecondaryCaptureImageStorage, ["DERIVED", "SECONDARY"]
        dataset.SeriesInstanceUID, dataset.SeriesNumber = "1.2.999", 999
        del dataset.ImagePositionPatient, dataset.ImageOrientationPatient, dataset.PixelSpacing

    write_classic(folder, VOXELS[:, :, :1], positions=EVEN[:1], change=capture, prefix="report")
    return DicomFolder(folder, None, "CT")


def no_uid(dataset: Any, index: int) -> None:
    dataset.SeriesInstanceUID = ""


def private_scaling(dataset: Any, index: int) -> None:
    """Philips stores the scaling to its own values, and a real-world value mapping, beside the rescaling."""
    block = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    block.add_new(0x0D, "FL", 3.5)
    block.add_new(0x0E, "FL", 7.25)
    dataset.RealWorldValueMappingSequence = sequence(RealWorldValueSlope=9.0, RealWorldValueIntercept=1.0)


def stored_as(syntax: Any) -> Callable[[Any, Path], None]:
    def save(dataset: Any, path: Path) -> None:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(path, enforce_file_format=True)

    return save


def compressed(syntax: Any) -> Callable[[Any, Path], None]:
    def save(dataset: Any, path: Path) -> None:
        colours, dataset.PhotometricInterpretation = dataset.PhotometricInterpretation, "MONOCHROME2"
        dataset.compress(syntax)
        dataset.PhotometricInterpretation = colours
        dataset.save_as(path, enforce_file_format=True)

    return save


def big_endian(dataset: Any, path: Path) -> None:
    dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dcmwrite(path, dataset, implicit_vr=False, little_endian=False, enforce_file_format=True)


def lossless_jpeg(folder: Path) -> Path:
    """Compress the slices by GDCM, since pydicom does not write this JPEG."""
    for file in write_classic(folder, change=signed).iterdir():
        reader, writer = sitk.ImageFileReader(), sitk.ImageFileWriter()
        reader.SetFileName(str(file))
        reader.LoadPrivateTagsOn()
        image = reader.Execute()
        file.unlink()
        writer.KeepOriginalImageUIDOn()
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG")
        writer.SetImageIO("GDCMImageIO")
        writer.SetFileName(str(file.with_suffix(".dcm")))
        with same_locale():
            writer.Execute(image)
        assert pydicom.dcmread(file.with_suffix(".dcm")).file_meta.TransferSyntaxUID == JPEGLosslessSV1
    return folder


def lookup_table(dataset: Any, index: int) -> None:
    dataset.ModalityLUTSequence = sequence(LUTDescriptor=[2, 0, 16], ModalityLUTType="HU", LUTData=b"\0\0\1\0")


READ: dict[str, Callable[[Path], Path | DicomFolder]] = {
    "CT": write_classic,
    "CT, signed": lambda folder: write_classic(folder, change=signed),
    "CT, implicit": lambda folder: write_classic(folder, save=stored_as(ImplicitVRLittleEndian)),
    "CT, big endian": lambda folder: write_classic(folder, save=big_endian),
    "CT, deflated": lambda folder: write_classic(folder, save=stored_as(DeflatedExplicitVRLittleEndian)),
    "CT, lossless JPEG": lossless_jpeg,
    "CT, JPEG-LS": lambda folder: write_classic(folder, save=compressed(JPEGLSLossless)),
    "CT, JPEG 2000": lambda folder: write_classic(folder, change=as_jpeg_2000),
    "CT, implicit without meta header": lambda folder: write_classic(folder, save=without_meta_header),
    "CT, overlay in high bits": lambda folder: write_classic(folder, change=high_bits),
    "CT, 12 bits, signed": lambda folder: write_classic(folder, change=signed_12_bit),
    "CT in HU as stored": lambda folder: write_classic(folder, change=in_hounsfield),
    "CT with padding": lambda folder: write_classic(folder, change=padded),
    "CT in reverse": lambda folder: write_classic(folder, VOXELS[:, :, ::-1], positions=EVEN[::-1]),
    "negative SpacingBetweenSlices": lambda folder: write_classic(
        folder, change=with_values(SpacingBetweenSlices=-2.5)
    ),
    "the same InstanceNumber": lambda folder: write_classic(folder, change=with_values(InstanceNumber=1)),
    "DICOMDIR beside": with_directory,
    "secondary capture beside": with_capture,
    "CT, zip": lambda folder: zipped(write_classic(folder)),
    "CT without UID": lambda folder: write_classic(folder, change=no_uid),
    "MR": lambda folder: write_classic(folder, modality="MR", slope=0.5),
    "MR with private scaling": lambda folder: write_classic(folder, modality="MR", change=private_scaling),
    "MONOCHROME1": lambda folder: write_classic(folder, change=inverted),
    "MONOCHROME1, 12 bits": lambda folder: write_classic(folder, change=inverted_12_bit),
    "MONOCHROME1, signed": lambda folder: write_classic(folder, change=inverted_signed),
    "MONOCHROME1, MR": lambda folder: write_classic(folder, modality="MR", change=inverted),
    "MONOCHROME1, icon": lambda folder: write_classic(folder, change=inverted_icon),
    "MONOCHROME1, big endian": lambda folder: write_classic(folder, change=inverted, save=big_endian),
    "MONOCHROME1, JPEG-LS": lambda folder: write_classic(folder, change=inverted, save=compressed(JPEGLSLossless)),
    "MONOCHROME1, deflated": lambda folder: write_classic(
        folder, change=inverted, save=stored_as(DeflatedExplicitVRLittleEndian)
    ),
    "MONOCHROME1, zip": lambda folder: zipped(write_classic(folder, change=inverted)),
    "CT, two acquisitions": two_in_one_series("AcquisitionNumber", "1", "2"),
    "MR, two echoes": two_in_one_series("EchoTime", "2.3", "4.6", modality="MR"),
    "MR, two b values": two_in_one_series("DiffusionBValue", 0.0, 800.0, modality="MR"),
    "PET, two times": two_in_one_series("FrameReferenceTime", "30000", "90000", modality="PT"),
    "MR, two triggers": two_in_one_series("TriggerTime", "0", "40", modality="MR"),
}
"""Files that are read as `VOXELS` at `AFFINE`."""


@pytest.mark.parametrize("name", READ)
def test_variant_is_read_as_the_known_volume(tmp_path: Path, name: str) -> None:
    if "JPEG-LS" in name:
        pytest.importorskip("jpeg_ls", reason="needs pyjpegls, to write JPEG-LS")
    check_known_volume(READ[name](tmp_path / "dicom"))


@pytest.mark.parametrize("modality", ["MR", "PT"])
def test_each_slice_has_a_slope_of_its_own(tmp_path: Path, modality: str) -> None:
    """As PET scanners store them."""
    values = np.abs(VOXELS)
    folder = write_classic(tmp_path / "pet", values, modality=modality, intercept=0, change=slope_of_its_own)
    np.testing.assert_array_equal(load(folder)[0], values)


def duplicated(folder: Path) -> Path:
    write_classic(folder)
    (folder / "copy").write_bytes((folder / "IM0").read_bytes())
    return folder


def another_frame(dataset: Any, index: int) -> None:
    dataset.FrameOfReferenceUID = "1.2.8" if index < 3 else "1.2.88"


def turned_slice(dataset: Any, index: int) -> None:
    if index == 3:
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


def decimal_commas(dataset: Any, path: Path) -> None:
    dataset.save_as(path, enforce_file_format=True)
    stored = "\\".join(map(str, dataset.ImagePositionPatient)).encode()
    content = path.read_bytes()
    assert stored in content
    path.write_bytes(content.replace(stored, stored.replace(b".", b",")))


def nuclear_medicine(folder: Path) -> Path:
    def change(dataset: Any) -> None:
        dataset.SOPClassUID, dataset.Modality = NuclearMedicineImageStorage, "NM"

    return write_enhanced(folder, change_file=change)


def float_pixels(dataset: Any, index: int) -> None:
    dataset.FloatPixelData = bytes(4 * 9 * 7)
    del dataset.PixelData


ERRORS: dict[str, tuple[Callable[[Path], Path | DicomFolder], str]] = {
    "duplicate of a slice": (duplicated, "IM0 and copy have the same position: a series must be one volume"),
    "two frames of reference": (
        lambda folder: write_classic(folder, change=another_frame),
        "another FrameOfReferenceUID than IM0: all slices of a series must agree",
    ),
    "a coronal slice among axial ones": (
        lambda folder: write_classic(folder, change=turned_slice),
        "all slices of a series must agree",
    ),
    "mosaic": (
        lambda folder: write_classic(
            folder, modality="MR", change=with_values(ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])
        ),
        "IM0: a mosaic of slices in one image: convert it first, for example with dcm2niix",
    ),
    "image without a place": (
        lambda folder: write_classic(folder, change=without("ImagePositionPatient", "ImageOrientationPatient")),
        "ImagePositionPatient '': must be 3 numbers",
    ),
    "pixels of 0 mm": (
        lambda folder: write_classic(folder, change=with_values(PixelSpacing=[0, 0.8])),
        "PixelSpacing '0.0\\\\0.8': must be above 0",
    ),
    "positions with decimal commas": (
        lambda folder: write_classic(folder, save=decimal_commas),
        "ImagePositionPatient '-30,",
    ),
    "floating-point pixels": (
        lambda folder: write_classic(folder, change=float_pixels),
        "an image without pixel data: must be a whole file",
    ),
    "RescaleSlope 0": (
        lambda folder: write_classic(folder, change=with_values(RescaleSlope=0)),
        "RescaleSlope '0.0': must be a number other than 0",
    ),
    "multi-frame NM": (nuclear_medicine, "frames of SOP class 1.2.840.10008.5.1.4.1.1.20: must be enhanced CT"),
    "two times of a PET": (
        two_in_one_series("FrameReferenceTime", "30000", "90000", modality="PT", chosen=None),
        "choose one of 1.2.3/1 (number 4/1, PT, time 30000, 5 slices), 1.2.3/2 (number 4/2, PT, time 90000, 5 slices)",
    ),
    "lookup table": (
        lambda folder: write_classic(folder, change=lookup_table),
        "IM0: a ModalityLUTSequence: must be rescaled by slope and intercept, not by a table",
    ),
    "two acquisitions": (
        two_in_one_series("AcquisitionNumber", "1", "2", chosen=None),
        "choose one of 1.2.3/1 (number 4/1, CT, acquisition 1, 5 slices), 1.2.3/2 (number 4/2, CT, acquisition 2, 5",
    ),
    "b values of files": (
        two_in_one_series("DiffusionBValue", 0.0, 800.0, modality="MR", chosen="4"),
        "choose one of 1.2.3/1 (number 4/1, MR, b 0, 5 slices), 1.2.3/2 (number 4/2, MR, b 800, 5 slices)",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_variant_that_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    write, message = ERRORS[name]
    check_error(write(tmp_path / "dicom"), message)


def test_attribute_that_differs_in_every_slice_splits_nothing(tmp_path: Path) -> None:
    """The slices of one volume may have a trigger time each, and those of a spiral CT an acquisition number."""

    def change(dataset: Any, index: int) -> None:
        dataset.TriggerTime, dataset.AcquisitionNumber = str(index), index

    np.testing.assert_array_equal(load(write_classic(tmp_path / "one", change=change))[0], VOXELS)
    write_classic(tmp_path / "two", change=change)
    write_classic(tmp_path / "two", change=lambda dataset, index: change(dataset, index + 5), prefix="other")
    with pytest.raises(VolumeError, match="have the same position: a series must be one volume"):
        load(tmp_path / "two")
