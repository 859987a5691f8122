"""DICOM of many kinds, written from one small volume: each is read as this volume, or gives an error of one line."""

from __future__ import annotations

import io
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    BasicTextSRStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    RLELossless,
    RTDoseStorage,
    SegmentationStorage,
)

from hybridseg.transforms import LoadVolumed, VolumeError
from hybridseg.transforms.io.dicom import DicomFolder, open_series

from .dicom_files import OBLIQUE, ORIGIN, SPACING, VOXELS, same_locale
from .pydicom_files import EVEN, SERIES, number, positions_along, sequence, write_classic, write_enhanced

AFFINE = np.diag([-1.0, -1, 1, 1]) @ np.block(
    [[OBLIQUE * np.array(SPACING), ORIGIN[:, None]], [np.zeros((1, 3)), np.ones((1, 1))]]
)
SPACING_OF_ROUNDED = 0.875


def load(source: Path | DicomFolder) -> tuple[np.ndarray, np.ndarray]:
    """Load the voxels (columns, rows, slices) and the affine of a series."""
    volume = LoadVolumed("image")({"image": source})["image"]
    return volume[0].numpy(), volume.affine.numpy()


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


def no_uid(dataset: Any, index: int) -> None:
    dataset.SeriesInstanceUID = ""


def private_scaling(dataset: Any, index: int) -> None:
    """Philips stores the scaling to its own values, and a real-world value mapping, beside the rescaling."""
    block = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    block.add_new(0x0D, "FL", 3.5)
    block.add_new(0x0E, "FL", 7.25)
    dataset.RealWorldValueMappingSequence = sequence(RealWorldValueSlope=9.0, RealWorldValueIntercept=1.0)


def turned(dataset: Any, index: int) -> None:
    angle = 2e-4 * (-1) ** index
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    dataset.ImageOrientationPatient = [number(value) for value in (turn @ OBLIQUE[:, :2]).T.ravel()]


def in_series(uid: str, **attributes: Any) -> Callable[[Any, int], None]:
    def change(dataset: Any, index: int) -> None:
        dataset.SeriesInstanceUID, dataset.SeriesNumber = uid, uid.rsplit(".", 1)[-1]
        for name, value in attributes.items():
            setattr(dataset, name, value)

    return change


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


def jpeg_2000(dataset: Any) -> None:
    frames = []
    for frame in np.frombuffer(dataset.PixelData, "<u2").reshape(-1, dataset.Rows, dataset.Columns):
        content = io.BytesIO()
        Image.fromarray(frame).save(content, "JPEG2000", no_jp2=True, irreversible=False)
        frames.append(content.getvalue())
    dataset.PixelData, dataset["PixelData"].VR = encapsulate(frames), "OB"
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless


def zipped(folder: Path) -> Path:
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"DOE^JANE/{file.name}")
    return folder.with_suffix(".zip")


def rounded(digits: int, spacing: float = SPACING_OF_ROUNDED, missing: int | None = None) -> Callable[[Path], Path]:
    """Write slices whose positions are rounded to digits after the point."""
    positions = np.round(positions_along([0, 0, spacing]) - ORIGIN, digits)
    kept = [index for index in range(len(positions)) if index != missing]
    return lambda folder: write_classic(folder, VOXELS[:, :, kept], positions=positions[kept], orientation=np.eye(3))


def with_document(folder: Path, sop_class: str, name: str, **attributes: Any) -> None:
    """Write a file that is no image into a folder."""
    document = Dataset()
    document.file_meta = FileMetaDataset()
    document.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    document.SOPClassUID, document.SOPInstanceUID, document.Modality = sop_class, "1.2.77", "DOC"
    document.SeriesInstanceUID, document.SeriesNumber = "1.2.9", 9
    for keyword, value in attributes.items():
        setattr(document, keyword, value)
    document.save_as(folder / name, enforce_file_format=True)


def with_documents(folder: Path) -> Path:
    write_classic(folder)
    with_document(folder, BasicTextSRStorage, "SR")
    with_document(folder, EncapsulatedPDFStorage, "PDF", EncapsulatedDocument=b"%PDF" + b"." * 100_000)
    with_document(folder, "1.3.46.670589.11.0.0.12.1", "unknown")
    return folder


def with_broken_neighbours(folder: Path) -> DicomFolder:
    with_documents(folder)
    with_document(folder, "1.2.840.10008.5.1.4.1.1.4.2", "spectra", Rows=1, Columns=1)
    write_classic(folder, VOXELS[:-1], change=in_series("1.2.6"), prefix="other")
    (folder / "other0").write_bytes((folder / "other0").read_bytes()[:-60])
    (folder / "garbage.dcm").write_bytes(b"no DICOM at all")
    write_enhanced(folder, modality="MR", change_file=in_enhanced_series("1.2.5"), change=without_place)
    return DicomFolder(folder, "4")


def in_enhanced_series(uid: str) -> Callable[[Any], None]:
    return lambda dataset: in_series(uid)(dataset, 0)


def without_place(group: Any, index: int) -> None:
    del group.PlanePositionSequence


def with_made_from_it(sop_class: str, modality: str) -> Callable[[Path], Path]:
    """Write a series beside a mask of it, or the dose in it."""

    def made(dataset: Any) -> None:
        dataset.SOPClassUID, dataset.Modality = sop_class, modality
        in_series("1.2.5")(dataset, 0)

    def write(folder: Path) -> Path:
        write_enhanced(folder, change_file=made, name="made")
        return write_classic(folder)

    return write


def with_others(modality: str | None = "CT") -> Callable[[Path], DicomFolder]:
    """Write a series beside a localiser, a coronal series, a thicker one and one of another modality."""

    def write(folder: Path) -> DicomFolder:
        more = np.concatenate([VOXELS, VOXELS], axis=2)
        positions = positions_along(SPACING[2] * OBLIQUE[:, 2], 10)
        coronal = OBLIQUE[:, [0, 2, 1]]
        localiser = in_series("1.2.11", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
        write_classic(folder / "all", more, positions=positions, change=localiser, prefix="a")
        write_classic(
            folder / "all", more, positions=positions, orientation=coronal, change=in_series("1.2.12"), prefix="b"
        )
        write_classic(folder / "all", VOXELS[:, :, :4], positions=EVEN[:4], change=in_series("1.2.13"), prefix="c")
        write_classic(folder / "all", more, positions=positions, modality="MR", change=in_series("1.2.14"), prefix="d")
        write_classic(folder / "all")
        return DicomFolder(folder / "all", None, modality)

    return write


def with_twin(folder: Path) -> DicomFolder:
    write_classic(folder, change=in_series("1.2.9"), prefix="twin")
    return DicomFolder(write_classic(folder), None, "CT")


def two_in_one_series(name: str, *values: Any, chosen: str | None = "4/2") -> Callable[[Path], DicomFolder]:
    """Write a series with two volumes that differ in an attribute, and that of the known volume last."""

    def write(folder: Path) -> DicomFolder:
        for prefix, voxels, value in zip("ab", (VOXELS[::-1], VOXELS), values, strict=True):
            write_classic(folder, voxels, prefix=prefix, change=in_series(SERIES, SeriesNumber=4, **{name: value}))
        return DicomFolder(folder, chosen)

    return write


def volumes_by(name: str, *values: Any, **others: Any) -> Callable[[Any, int], None]:
    """Give the frames of each volume another value of an attribute in their functional groups."""
    keys = name.split(".")

    def change(group: Any, index: int) -> None:
        value = values[index // VOXELS.shape[2]]
        if keys[0] == "FrameContentSequence":
            setattr(group.FrameContentSequence[0], keys[1], value)
        else:
            setattr(group, keys[0], sequence(**{keys[1]: value}))

    return change


def two_volumes(name: str, *values: Any, chosen: str | None = "4/2") -> Callable[[Path], DicomFolder]:
    def write(folder: Path) -> DicomFolder:
        volumes = {0: VOXELS[::-1], 1: VOXELS}
        write_enhanced(folder, volumes, modality="MR", change=volumes_by(name, *values))
        return DicomFolder(folder, chosen)

    return write


def directions(group: Any, index: int) -> None:
    direction = sequence(DiffusionGradientOrientation=[0.0, 1.0, 0.0] if index < VOXELS.shape[2] else [1.0, 0.0, 0.0])
    group.MRDiffusionSequence = sequence(DiffusionBValue=800.0, DiffusionGradientDirectionSequence=direction)


def frame_slopes(group: Any, index: int) -> None:
    group.PixelValueTransformationSequence = sequence(RescaleSlope=2.0**-index, RescaleIntercept=0, RescaleType="GML")


def frame_values(dataset: Any) -> None:
    values = np.frombuffer(dataset.PixelData, "<u2").reshape(5, 7, 9).astype(np.float64) - 1024
    scaled = (values - values.min()) * 2.0 ** np.arange(5)[:, None, None]
    dataset.PixelData = scaled.astype("<u2").tobytes()


def mapped_frames(dataset: Any) -> None:
    """A viewer's inversion and real-world values, neither of which is used."""
    dataset.PresentationLUTShape = "INVERSE"
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence = sequence(
        RealWorldValueSlope=9.0,
        RealWorldValueIntercept=1.0,
        RealWorldValueFirstValueMapped=0,
        RealWorldValueLastValueMapped=65535,
    )


def one_file_per_frame(folder: Path) -> Path:
    for index in range(5):
        plane = VOXELS[:, :, index : index + 1]
        write_enhanced(folder, {0: plane}, positions=EVEN[index : index + 1], name=f"IM{index * 3 % 5}")
    return folder


def legacy_converted(folder: Path) -> Path:
    highdicom = pytest.importorskip("highdicom")
    write_classic(folder / "classic", change=lambda dataset, index: setattr(dataset, "InstanceNumber", index + 1))
    slices = [pydicom.dcmread(file) for file in sorted((folder / "classic").iterdir())]
    for part in slices:
        for name in ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID"):
            setattr(part, name, "")
        part.PatientSex, part.PatientBirthDate, part.Manufacturer, part.PixelSpacing = (
            "",
            "",
            "",
            list(part.PixelSpacing),
        )
        part.AcquisitionDate, part.AcquisitionTime = "20200101", "120000"
        part.PositionReferenceIndicator = ""
    (folder / "enhanced").mkdir()
    highdicom.legacy.LegacyConvertedEnhancedCTImage(
        slices, series_instance_uid="1.2.3.5", series_number=5, sop_instance_uid="1.2.3.6", instance_number=1
    ).save_as(folder / "enhanced" / "multi")
    return folder / "enhanced"


def lookup_table(dataset: Any, index: int) -> None:
    dataset.ModalityLUTSequence = sequence(LUTDescriptor=[2, 0, 16], ModalityLUTType="HU", LUTData=b"\0\0\1\0")


def secondary_capture(dataset: Any) -> None:
    dataset.SOPClassUID = MultiFrameGrayscaleWordSecondaryCaptureImageStorage


READ: dict[str, Callable[[Path], Path | DicomFolder]] = {
    "CT": write_classic,
    "CT, signed": lambda folder: write_classic(folder, change=signed),
    "CT, implicit": lambda folder: write_classic(folder, save=stored_as(ImplicitVRLittleEndian)),
    "CT, big endian": lambda folder: write_classic(folder, save=big_endian),
    "CT, deflated": lambda folder: write_classic(folder, save=stored_as(DeflatedExplicitVRLittleEndian)),
    "CT, lossless JPEG": lossless_jpeg,
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
    "turned by 2e-4": lambda folder: write_classic(folder, change=turned),
    "documents beside": with_documents,
    "segmentation beside": with_made_from_it(SegmentationStorage, "SEG"),
    "dose beside": with_made_from_it(RTDoseStorage, "RTDOSE"),
    "broken neighbours": with_broken_neighbours,
    "one that fits of five": with_others(),
    "CT, two acquisitions": two_in_one_series("AcquisitionNumber", "1", "2"),
    "MR, two echoes": two_in_one_series("EchoTime", "2.3", "4.6"),
    "MR, two b values": two_in_one_series("DiffusionBValue", 0.0, 800.0),
    "enhanced CT": write_enhanced,
    "enhanced CT, zip": lambda folder: zipped(write_enhanced(folder)),
    "enhanced CT, frames shuffled": lambda folder: write_enhanced(folder, order=[3, 0, 4, 2, 1]),
    "enhanced CT, a file per frame": one_file_per_frame,
    "enhanced CT, run lengths": lambda folder: write_enhanced(folder, change_file=lambda d: d.compress(RLELossless)),
    "enhanced CT, JPEG-LS": lambda folder: write_enhanced(folder, change_file=lambda d: d.compress(JPEGLSLossless)),
    "enhanced CT, JPEG 2000": lambda folder: write_enhanced(folder, change_file=jpeg_2000),
    "enhanced CT for display": lambda folder: write_enhanced(folder, change_file=mapped_frames),
    "legacy converted CT": legacy_converted,
    "enhanced MR": lambda folder: write_enhanced(folder, modality="MR"),
    "enhanced MR, two times": two_volumes("FrameContentSequence.TemporalPositionIndex", 1, 2),
    "enhanced MR, two stacks": two_volumes("FrameContentSequence.StackID", "1", "2", chosen=f"{SERIES}/2"),
    "enhanced MR, two b values": two_volumes("MRDiffusionSequence.DiffusionBValue", 0.0, 1000.0),
    "enhanced MR, two echoes": two_volumes("MREchoSequence.EffectiveEchoTime", 2.3, 4.6),
    "enhanced MR, two directions": lambda folder: DicomFolder(
        write_enhanced(folder, {0: VOXELS[::-1], 1: VOXELS}, modality="MR", change=directions), "4/2"
    ),
}
"""Files that are read as `VOXELS` at `AFFINE`."""


@pytest.mark.parametrize("name", READ)
def test_variant_is_read_as_the_known_volume(tmp_path: Path, name: str) -> None:
    if "JPEG-LS" in name:
        pytest.importorskip("jpeg_ls", reason="needs pyjpegls, to write JPEG-LS")
    if name.startswith(("enhanced", "legacy")):
        pytest.importorskip("highdicom", reason="needs the extra dicom")
    voxels, affine = load(READ[name](tmp_path / "dicom"))
    np.testing.assert_array_equal(voxels, VOXELS)
    np.testing.assert_allclose(affine, AFFINE, atol=2e-3 if "2e-4" in name else 1e-6)


@pytest.mark.parametrize("modality", ["MR", "PT"])
def test_each_slice_has_a_slope_of_its_own(tmp_path: Path, modality: str) -> None:
    """As PET scanners store them; frames of enhanced PET too."""
    values = np.abs(VOXELS)
    folder = write_classic(tmp_path / "pet", values, modality=modality, intercept=0, change=slope_of_its_own)
    np.testing.assert_array_equal(load(folder)[0], values)
    pytest.importorskip("highdicom", reason="needs the extra dicom")
    frames = write_enhanced(tmp_path / "frames", modality=modality, change=frame_slopes, change_file=frame_values)
    np.testing.assert_array_equal(load(frames)[0], VOXELS - VOXELS.min())


def in_activity(group: Any, index: int) -> None:
    group.PixelValueTransformationSequence[0].RescaleType = "BQML"


def as_lossless_jpeg(dataset: Any) -> None:
    jpeg_2000(dataset)
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1


def without_groups(dataset: Any) -> None:
    dataset.PerFrameFunctionalGroupsSequence = dataset.PerFrameFunctionalGroupsSequence[:-1]


def cut(folder: Path) -> Path:
    file = write_enhanced(folder) / "multi"
    file.write_bytes(file.read_bytes()[:-60])
    return folder


def cut_and_named(folder: Path) -> DicomFolder:
    file = write_classic(folder) / "IM1"
    file.write_bytes(file.read_bytes()[:-60])
    return DicomFolder(folder, SERIES)


ERRORS: dict[str, tuple[Callable[[Path], Path | DicomFolder], str]] = {
    "lookup table": (
        lambda folder: write_classic(folder, change=lookup_table),
        "IM0: a ModalityLUTSequence: must be rescaled by slope and intercept, not by a table",
    ),
    "multi-frame secondary capture": (
        lambda folder: write_enhanced(folder, change_file=secondary_capture),
        "multi: 5 frames of SOP class 1.2.840.10008.5.1.4.1.1.7.3: must be enhanced CT, legacy converted enhanced CT",
    ),
    "frame without place": (
        lambda folder: write_enhanced(folder, change=without_place),
        "multi: frame 1: ImagePositionPatient '': must be 3 numbers",
    ),
    "frame without functional group": (
        lambda folder: write_enhanced(folder, change_file=without_groups),
        "multi: 4 functional groups for 5 frames: every frame must have one",
    ),
    "enhanced PET in Bq/ml": (
        lambda folder: write_enhanced(folder, modality="PT", change=in_activity),
        "multi: an enhanced PET in 'BQML': its RescaleType must be GML, SUV",
    ),
    "frames in lossless JPEG": (
        lambda folder: write_enhanced(folder, change_file=as_lossless_jpeg),
        "multi: unreadable (",
    ),
    "frames cut off": (cut, "multi: pixel data of 630 bytes, the last 60 are missing"),
    "named series cut off": (cut_and_named, "IM1: pixel data of 126 bytes, the last 60 are missing"),
    "frames of two times": (
        two_volumes("FrameContentSequence.TemporalPositionIndex", 1, 2, chosen=None),
        "choose one of 1.2.3/1 (number 4/1, MR, time 1, 5 slices), 1.2.3/2 (number 4/2, MR, time 2, 5 slices)",
    ),
    "two volumes of the named series": (
        two_volumes("MRDiffusionSequence.DiffusionBValue", 0.0, 1000.0, chosen="4"),
        "2 series: choose one of 1.2.3/1 (number 4/1, MR, b 0, 5 slices), 1.2.3/2 (number 4/2, MR, b 1000, 5 slices)",
    ),
    "two acquisitions": (
        two_in_one_series("AcquisitionNumber", "1", "2", chosen=None),
        "choose one of 1.2.3/1 (number 4/1, CT, acquisition 1, 5 slices), 1.2.3/2 (number 4/2, CT, acquisition 2, 5",
    ),
    "b values of files": (
        two_in_one_series("DiffusionBValue", 0.0, 800.0, chosen="4"),
        "choose one of 1.2.3/1 (number 4/1, CT, b 0, 5 slices), 1.2.3/2 (number 4/2, CT, b 800, 5 slices)",
    ),
    "frames of one place": (
        two_volumes("FrameContentSequence.TemporalPositionIndex", 1, 1, chosen="4"),
        "frame 1 of multi and frame 6 of multi have the same position: a series must be one volume",
    ),
    "two series that fit": (
        with_twin,
        "2 series: choose one of 1.2.3 (number 4, CT, 5 slices), 1.2.9 (number 9, CT, 5 slices)",
    ),
    "no modality to choose by": (
        with_others(None),
        "5 series: choose one of 1.2.3 (number 4, CT, 5 slices), 1.2.11 (number 11, CT, 10 slices), 1.2.12",
    ),
    "no series of the modality": (with_others("PT"), "all: no PT series: choose one of 1.2.3 (number 4, CT, 5 slices)"),
    "a slice missing": (
        rounded(3, missing=2),
        "IM3 and IM2 are 1.75 mm apart, others 0.875 mm: slices must be evenly spaced, and none missing (--fill-gaps",
    ),
    "a slice missing among rounded ones": (rounded(1, missing=2), "must be evenly spaced, and none missing"),
    "a slice missing among rounded to mm": (rounded(0, 1.0, missing=2), "must be evenly spaced, and none missing"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_variant_that_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    write, message = ERRORS[name]
    with pytest.raises(VolumeError, match=re.escape(message)) as caught:
        load(write(tmp_path / "dicom"))
    assert "\n" not in str(caught.value)
    assert "JANE" not in str(caught.value).upper()


def test_multi_frame_without_highdicom_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    message = "multi: frames of a multi-frame file: reading them needs highdicom: pip install '.[dicom]' in a clone"
    with pytest.raises(VolumeError, match=re.escape(message)):
        load(write_enhanced(tmp_path / "ct"))


@pytest.mark.parametrize("digits", [0, 1, 2])
def test_rounded_positions_are_fitted(tmp_path: Path, digits: int) -> None:
    """The distance is that of all slices, which rounding of the first two would falsify."""
    spacing = SPACING_OF_ROUNDED if digits else 1.6
    voxels, affine = load(rounded(digits, spacing)(tmp_path / "ct"))
    np.testing.assert_array_equal(voxels, VOXELS)
    assert affine[2, 2] == pytest.approx(spacing, abs=0.3 * 10.0**-digits)


def test_uneven_slices_of_many_digits_are_an_error(tmp_path: Path) -> None:
    """What is fitted with positions in whole tenths is not with positions in micrometres."""
    positions = np.round(positions_along([0, 0, SPACING_OF_ROUNDED]) - ORIGIN, 1)
    positions[:, 2] += [0, 0.201, 0, -0.201, 0]
    with pytest.raises(VolumeError, match="slices must be evenly spaced"):
        load(write_classic(tmp_path / "ct", positions=positions, orientation=np.eye(3)))


def test_missing_slice_is_filled_on_request(tmp_path: Path) -> None:
    kept = [0, 1, 3, 4]
    folder = write_classic(tmp_path / "ct", VOXELS[:, :, kept], positions=EVEN[kept])
    source = DicomFolder(folder, fill_gaps=True)
    voxels, affine = load(source)
    np.testing.assert_array_equal(voxels[:, :, kept], VOXELS[:, :, kept])
    np.testing.assert_array_equal(voxels[:, :, 2], (VOXELS[:, :, 1] / 2 + VOXELS[:, :, 3] / 2))
    np.testing.assert_allclose(affine, AFFINE, atol=1e-6)
    with open_series(source) as series:
        assert series.notes == (f"{folder}: slice 3 of 5 is missing: interpolated",)
        labels = (VOXELS > 0).astype(np.uint8)
        np.testing.assert_array_equal(series.labels_on_slices(labels), labels[:, :, kept])


def test_two_missing_slices_are_not_filled(tmp_path: Path) -> None:
    more, positions = np.concatenate([VOXELS, VOXELS], axis=2), positions_along(SPACING[2] * OBLIQUE[:, 2], 10)
    kept = [0, 1, 3, 4, 5, 6, 8, 9]
    folder = write_classic(tmp_path / "ct", more[:, :, kept], positions=positions[kept])
    with pytest.raises(VolumeError, match="ct: 2 slices are missing: at most 1 can be filled"):
        load(DicomFolder(folder, fill_gaps=True))


def test_gaps_are_not_filled_in_uneven_slices(tmp_path: Path) -> None:
    positions = EVEN.copy()
    positions[2] += 0.3 * SPACING[2] * OBLIQUE[:, 2]
    with pytest.raises(VolumeError, match="slices must be evenly spaced"):
        load(DicomFolder(write_classic(tmp_path / "ct", positions=positions), fill_gaps=True))


RAMP = np.add.outer(np.add.outer(np.arange(16) * 10.0, np.arange(20) * 6.0), np.arange(12) * 4.0)
"""Intensities that change by a constant along each axis, so that linear interpolation is exact."""


@pytest.mark.parametrize("degrees", [15, -20])
@pytest.mark.parametrize("write", [write_classic, write_enhanced])
def test_gantry_tilt_is_corrected(tmp_path: Path, degrees: float, write: Callable[..., Path]) -> None:
    """Every voxel within the slices has the value that is at its place in the patient."""
    if write is write_enhanced:
        pytest.importorskip("highdicom", reason="needs the extra dicom")
    rows = OBLIQUE[:, 1]
    step = SPACING[2] * (OBLIQUE[:, 2] + np.tan(np.deg2rad(degrees)) * rows)
    positions = positions_along(step, RAMP.shape[2])
    place = RAMP + 6.0 * (SPACING[2] * np.tan(np.deg2rad(degrees)) / SPACING[1]) * np.arange(RAMP.shape[2])
    stored = np.round(place * 16) / 16
    if write is write_enhanced:
        folder = write(tmp_path / "ct", {0: place.round()}, positions=positions)
    else:
        folder = write(tmp_path / "ct", stored, positions=positions, slope=1 / 16)
    voxels, affine = load(folder)
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), SPACING, atol=1e-6)
    indices = np.stack(np.meshgrid(*map(np.arange, voxels.shape), indexing="ij"), axis=-1)
    column, row, plane = np.moveaxis(
        (indices @ affine[:3, :3].T + affine[:3, 3] - AFFINE[:3, 3]) @ np.linalg.inv(AFFINE[:3, :3]).T, -1, 0
    )
    expected = 10 * column + 6 * row + 4 * plane
    first = row - plane * SPACING[2] * np.tan(np.deg2rad(degrees)) / SPACING[1]
    inside = (first > 0) & (first < RAMP.shape[1] - 1)
    assert inside.sum() > 0.9 * RAMP[:, 1:].size
    np.testing.assert_allclose(voxels[inside], expected[inside], atol=1.0)
    outside = (first < -1) | (first > RAMP.shape[1])
    assert set(voxels[outside].tolist()) == {voxels.min()}
    with open_series(folder) as series:
        assert series.notes == (
            f"{folder}: gantry tilt of {abs(degrees):.1f}°: slices shifted in their planes onto an upright grid",
        )
        labels = (voxels > 150).astype(np.uint8)
        returned = series.labels_on_slices(labels)
    assert returned.shape == RAMP.shape
    assert (returned != (place > 150)).mean() < 0.03


def test_choice_is_noted(tmp_path: Path) -> None:
    source = with_others()(tmp_path)
    with open_series(source) as series:
        (note,) = series.notes
    assert note.startswith(
        f"{source}: series 1.2.3 (number 4, CT, 5 slices) chosen, not 1.2.11 (number 11, CT, 10 slices)"
    )
    assert "JANE" not in note.upper()


def test_skipped_file_of_unknown_series_is_noted(tmp_path: Path) -> None:
    source = with_broken_neighbours(tmp_path / "dicom")
    with open_series(source) as series:
        assert len(series.notes) == 1
        assert series.notes[0].startswith(f"{source}: garbage.dcm: ")
        assert series.notes[0].endswith("its series is unknown: skipped")
    with pytest.raises(VolumeError, match=r"garbage\.dcm"):
        load(source.path)


def test_attribute_of_each_slice_tells_no_volumes_apart(tmp_path: Path) -> None:
    """The slices of one volume may have a trigger time each, and those of a spiral CT an acquisition number."""

    def change(dataset: Any, index: int) -> None:
        dataset.TriggerTime, dataset.AcquisitionNumber = str(index), index

    np.testing.assert_array_equal(load(write_classic(tmp_path / "one", change=change))[0], VOXELS)
    write_classic(tmp_path / "two", change=change)
    write_classic(tmp_path / "two", change=lambda dataset, index: change(dataset, index + 5), prefix="other")
    with pytest.raises(VolumeError, match="have the same position: a series must be one volume"):
        load(tmp_path / "two")


def test_frame_of_reference_and_frames_are_known(tmp_path: Path) -> None:
    with open_series(write_enhanced(tmp_path / "ct", order=[3, 0, 4, 2, 1])) as series:
        assert series.frame_of_reference == series.header.frame_of_reference == "1.2.8"
        assert [part.frame for part in series.slices] == [2, 5, 4, 1, 3]
    with open_series(write_classic(tmp_path / "classic")) as series:
        assert {part.frame for part in series.slices} == {None}
