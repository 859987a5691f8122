"""Write DICOM of many kinds for tests by pydicom, all from one small volume."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    generate_uid,
)

from .dicom_files import OBLIQUE, ORIGIN, SPACING, VOXELS

CLASSIC = {"CT": CTImageStorage, "MR": MRImageStorage, "PT": PositronEmissionTomographyImageStorage}
ENHANCED = {"CT": EnhancedCTImageStorage, "MR": EnhancedMRImageStorage, "PT": EnhancedPETImageStorage}
CONVERTED = {"CT": "LegacyConvertedEnhancedCTImage", "PT": "LegacyConvertedEnhancedPETImage"}
"""The class of highdicom that converts slices of a modality to frames."""
NEEDED = (
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
    *("PatientSex", "PatientBirthDate", "Manufacturer", "PositionReferenceIndicator"),
)
"""What highdicom needs in these slices, though it may be empty."""
SERIES = "1.2.3"

Change = Callable[[Any, int], object]
"""A change of the dataset of a slice, or of the functional groups of a frame, and its number from 0."""


def nothing(dataset: Any, index: int) -> None:
    """Change nothing."""


def positions_along(step: Sequence[float] | NDArray[np.float64], count: int = VOXELS.shape[2]) -> NDArray[np.float64]:
    """Return positions (count, 3) in LPS, a step apart."""
    return ORIGIN + np.arange(count, dtype=np.float64)[:, None] * np.asarray(step, np.float64)


EVEN = positions_along(SPACING[2] * OBLIQUE[:, 2])


def number(value: float) -> str:
    """Return a number as DICOM stores it, in at most 16 characters."""
    return f"{value:.10f}"[:16]


def describe(modality: str, sop_class: str, voxels: NDArray[Any], *, slope: float, intercept: float) -> Any:
    """Return a dataset with the voxels (..., rows, columns) as unsigned 16-bit, without their place."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, generate_uid(entropy_srcs=[voxels.tobytes().hex()])
    dataset.Modality, dataset.ImageType = modality, ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SeriesNumber = "1.2", SERIES, 4
    dataset.FrameOfReferenceUID = "1.2.8"
    dataset.PatientName, dataset.PatientID, dataset.SeriesDescription = "DOE^JANE", "MRN1", "Jane's liver"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.Rows, dataset.Columns = voxels.shape[-2:]
    dataset.PixelData = ((voxels - intercept) / slope).round().astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def write_classic(
    folder: Path,
    voxels: NDArray[Any] = VOXELS,
    *,
    modality: str = "CT",
    positions: NDArray[np.float64] = EVEN,
    orientation: NDArray[np.float64] = OBLIQUE,
    slope: float = 1,
    intercept: float = -1024,
    change: Change = nothing,
    save: Callable[[Any, Path], object] | None = None,
    prefix: str = "IM",
) -> Path:
    """Write voxels (columns, rows, slices), one file per slice; return the folder.

    Args:
        folder: created if missing.
        voxels: values once rescaled.
        modality: CT, MR or PT.
        positions: (slices, 3), in LPS.
        orientation: (3, 3), directions of columns, rows and slices in LPS, one per column.
        slope: RescaleSlope.
        intercept: RescaleIntercept.
        change: changes the dataset of each slice.
        save: saves a dataset at a path; by default as explicit little endian.
        prefix: start of the names of files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index, position in enumerate(positions):
        dataset = describe(modality, CLASSIC[modality], voxels[:, :, index].T, slope=slope, intercept=intercept)
        dataset.RescaleSlope, dataset.RescaleIntercept = number(slope), number(intercept)
        dataset.ImagePositionPatient = [number(value) for value in position]
        dataset.ImageOrientationPatient = [number(value) for value in orientation[:, :2].T.ravel()]
        dataset.PixelSpacing, dataset.SliceThickness = [SPACING[1], SPACING[0]], 7.5
        change(dataset, index)
        path = folder / f"{prefix}{(index * 7) % len(positions)}"
        if save is None:
            dataset.save_as(path, enforce_file_format=True)
        else:
            save(dataset, path)
    return folder


def sequence(**attributes: Any) -> list[Any]:
    """Return a sequence with one item."""
    item = Dataset()
    for name, value in attributes.items():
        setattr(item, name, value)
    return [item]


def write_enhanced(
    folder: Path,
    volumes: Mapping[int, NDArray[Any]] | None = None,
    *,
    modality: str = "CT",
    positions: NDArray[np.float64] = EVEN,
    order: Sequence[int] | None = None,
    change: Change = nothing,
    change_file: Callable[[Any], object] = lambda dataset: None,
    name: str = "multi",
) -> Path:
    """Write volumes (columns, rows, slices) as the frames of one file; return the folder.

    Args:
        folder: created if missing.
        volumes: values once rescaled, by a number that `change` gets as `index // slices`.
        modality: CT, MR or PT.
        positions: (slices, 3), in LPS.
        order: order of the frames; None keeps that of volumes, then slices.
        change: changes the functional groups of each frame.
        change_file: changes the dataset.
        name: name of the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    planes = [
        (volume[:, :, index].T, index)
        for volume in (volumes or {0: VOXELS}).values()
        for index in range(len(positions))
    ]
    numbers = list(range(len(planes))) if order is None else list(order)
    frames = np.array([planes[index][0] for index in numbers])
    dataset = describe(modality, ENHANCED[modality], frames, slope=1, intercept=-1024)
    dataset.NumberOfFrames = len(frames)
    shared = Dataset()
    shared.PixelMeasuresSequence = sequence(PixelSpacing=[SPACING[1], SPACING[0]], SliceThickness=7.5)
    shared.PlaneOrientationSequence = sequence(
        ImageOrientationPatient=[number(value) for value in OBLIQUE[:, :2].T.ravel()]
    )
    dataset.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for index in numbers:
        group = Dataset()
        group.FrameContentSequence = sequence(StackID="1", DimensionIndexValues=[1, planes[index][1] + 1])
        group.PlanePositionSequence = sequence(
            ImagePositionPatient=[number(value) for value in positions[planes[index][1]]]
        )
        group.PixelValueTransformationSequence = sequence(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")
        change(group, index)
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = groups
    change_file(dataset)
    dataset.save_as(folder / name, enforce_file_format=True)
    return folder


def write_converted(folder: Path, *, modality: str = "CT", change: Change = nothing) -> Path:
    """Write slices to `slices` in a folder, and convert them to a multi-frame file in `frames`; return the latter.

    Args:
        folder: created if missing.
        modality: CT or PT.
        change: changes the dataset of each slice.
    """
    legacy = pytest.importorskip("highdicom", reason="needs the extra dicom").legacy

    def complete(dataset: Any, index: int) -> None:
        for name in NEEDED:
            setattr(dataset, name, "")
        dataset.AcquisitionDate, dataset.AcquisitionTime, dataset.InstanceNumber = "20200101", "120000", index + 1
        change(dataset, index)

    write_classic(folder / "slices", modality=modality, change=complete)
    slices = [pydicom.dcmread(file) for file in sorted((folder / "slices").iterdir())]
    for part in slices:
        part.PixelSpacing = list(part.PixelSpacing)
    frames = getattr(legacy, CONVERTED[modality])(
        slices, series_instance_uid="1.2.3.5", series_number=5, sop_instance_uid="1.2.3.6", instance_number=1
    )
    (folder / "frames").mkdir()
    frames.save_as(folder / "frames" / "multi")
    return folder / "frames"


def jpeg_2000(dataset: Any) -> None:
    """Compress the plane, or the frames, of a dataset."""
    frames = []
    for frame in np.frombuffer(dataset.PixelData, "<u2").reshape(-1, dataset.Rows, dataset.Columns):
        content = io.BytesIO()
        Image.fromarray(frame).save(content, "JPEG2000", no_jp2=True, irreversible=False)
        frames.append(content.getvalue())
    dataset.PixelData, dataset["PixelData"].VR = encapsulate(frames), "OB"
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless


def without_place(group: Any, index: int) -> None:
    """Remove the place of a frame."""
    del group.PlanePositionSequence
