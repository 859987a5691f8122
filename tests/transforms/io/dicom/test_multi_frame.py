"""Enhanced multi-frame files are read as the slices that they hold; those without places of frames are errors."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import (
    JPEGLosslessSV1,
    JPEGLSLossless,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    RLELossless,
)

from hybridseg.transforms import VolumeError
from hybridseg.transforms.io.dicom import DicomFolder, open_series

from .dicom_files import VOXELS
from .pydicom_files import (
    EVEN,
    SERIES,
    jpeg_2000,
    sequence,
    without_place,
    write_classic,
    write_converted,
    write_enhanced,
)
from .variants import check_error, check_known_volume, load, zipped


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


def secondary_capture(dataset: Any) -> None:
    dataset.SOPClassUID = MultiFrameGrayscaleWordSecondaryCaptureImageStorage


def as_lossless_jpeg(dataset: Any) -> None:
    jpeg_2000(dataset)
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1


def without_groups(dataset: Any) -> None:
    dataset.PerFrameFunctionalGroupsSequence = dataset.PerFrameFunctionalGroupsSequence[:-1]


def cut(folder: Path) -> Path:
    file = write_enhanced(folder) / "multi"
    file.write_bytes(file.read_bytes()[:-60])
    return folder


READ: dict[str, Callable[[Path], Path | DicomFolder]] = {
    "enhanced CT": write_enhanced,
    "enhanced CT, zip": lambda folder: zipped(write_enhanced(folder)),
    "enhanced CT, frames shuffled": lambda folder: write_enhanced(folder, order=[3, 0, 4, 2, 1]),
    "enhanced CT, a file per frame": one_file_per_frame,
    "enhanced CT, run lengths": lambda folder: write_enhanced(folder, change_file=lambda d: d.compress(RLELossless)),
    "enhanced CT, JPEG-LS": lambda folder: write_enhanced(folder, change_file=lambda d: d.compress(JPEGLSLossless)),
    "enhanced CT, JPEG 2000": lambda folder: write_enhanced(folder, change_file=jpeg_2000),
    "enhanced CT for display": lambda folder: write_enhanced(folder, change_file=mapped_frames),
    "legacy converted CT": write_converted,
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
def test_frames_are_read_as_the_known_volume(tmp_path: Path, name: str) -> None:
    pytest.importorskip("highdicom", reason="needs the extra dicom")
    if "JPEG-LS" in name:
        pytest.importorskip("jpeg_ls", reason="needs pyjpegls, to write JPEG-LS")
    check_known_volume(READ[name](tmp_path / "dicom"))


@pytest.mark.parametrize("modality", ["MR", "PT"])
def test_each_frame_has_a_slope_of_its_own(tmp_path: Path, modality: str) -> None:
    """As PET scanners store them."""
    pytest.importorskip("highdicom", reason="needs the extra dicom")
    frames = write_enhanced(tmp_path / "frames", modality=modality, change=frame_slopes, change_file=frame_values)
    np.testing.assert_array_equal(load(frames)[0], VOXELS - VOXELS.min())


def unknown_representation(folder: Path) -> Path:
    """Damage the first attribute within the functional groups."""
    file = write_enhanced(folder) / "multi"
    stored = b"\x20\x00\x32\x00DS"  # ImagePositionPatient
    content = file.read_bytes()
    assert content.count(stored) == VOXELS.shape[2]
    file.write_bytes(content.replace(stored, stored[:-2] + b"LS", 1))
    return folder


ERRORS: dict[str, tuple[Callable[[Path], Path | DicomFolder], str]] = {
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
    "attribute of a frame damaged": (unknown_representation, "multi: unreadable ("),
    "frames in lossless JPEG": (
        lambda folder: write_enhanced(folder, change_file=as_lossless_jpeg),
        "multi: unreadable (",
    ),
    "frames cut off": (cut, "multi: pixel data of 630 bytes, the last 60 are missing"),
    "frames of two times": (
        two_volumes("FrameContentSequence.TemporalPositionIndex", 1, 2, chosen=None),
        "choose one of 1.2.3/1 (number 4/1, MR, time 1, 5 slices), 1.2.3/2 (number 4/2, MR, time 2, 5 slices)",
    ),
    "two volumes of the named series": (
        two_volumes("MRDiffusionSequence.DiffusionBValue", 0.0, 1000.0, chosen="4"),
        "2 series: choose one of 1.2.3/1 (number 4/1, MR, b 0, 5 slices), 1.2.3/2 (number 4/2, MR, b 1000, 5 slices)",
    ),
    "frames of one place": (
        two_volumes("FrameContentSequence.TemporalPositionIndex", 1, 1, chosen="4"),
        "frame 1 of multi and frame 6 of multi have the same position: a series must be one volume",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_file_that_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    write, message = ERRORS[name]
    check_error(write(tmp_path / "dicom"), message)


def test_multi_frame_without_highdicom_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    message = "multi: frames of a multi-frame file: reading them needs highdicom: pip install '.[dicom]' in a clone"
    with pytest.raises(VolumeError, match=re.escape(message)):
        load(write_enhanced(tmp_path / "ct"))


def test_frame_of_reference_and_frames_are_known(tmp_path: Path) -> None:
    with open_series(write_enhanced(tmp_path / "ct", order=[3, 0, 4, 2, 1])) as series:
        assert series.frame_of_reference == series.header.frame_of_reference == "1.2.8"
        assert [part.frame for part in series.slices] == [2, 5, 4, 1, 3]
    with open_series(write_classic(tmp_path / "classic")) as series:
        assert {part.frame for part in series.slices} == {None}
