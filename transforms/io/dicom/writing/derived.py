"""What an object derived from a DICOM series takes from it: patient, study, frame of reference, and its images.

A value that the standard does not allow would make the whole derived object invalid, so it is left empty, or made anew
where there must be one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, config, dcmread
from pydicom.uid import UID, generate_uid
from pydicom.valuerep import validate_value

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.io.atomic import replacing
from hybridseg.transforms.io.dicom.elements import quiet_pydicom
from hybridseg.transforms.io.dicom.series import DicomSeries
from hybridseg.transforms.structures import Structure

PATIENT_AND_STUDY = {
    "PatientID": "LO",
    "PatientName": "PN",
    "PatientBirthDate": "DA",
    "PatientSex": "CS",
    "StudyDate": "DA",
    "StudyTime": "TM",
    "StudyID": "SH",
    "AccessionNumber": "SH",
    "ReferringPhysicianName": "PN",
}
"""Attributes that a derived object must have, possibly without a value, and how each is written (PS3.5, 6.2)."""

OPTIONAL = {"StudyDescription": "LO", "PositionReferenceIndicator": "LO", "PatientAge": "AS"}
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
SEXES = ("M", "F", "O", "")
UTF_8 = "ISO_IR 192"


MANUFACTURER = "HybridSeg"
SERIES_NUMBER_OFFSET = 1000
"""Added to the number of the source series."""
LONGEST_NAME = 64


@dataclass(frozen=True)
class SourceImage:
    """An image, or a frame of one, that a slice of the volume was read from.

    Args:
        sop_class: UID of its kind.
        sop_instance: its UID.
        frame: number of its frame, from 1; None if it has only one.
    """

    sop_class: str
    sop_instance: str
    frame: int | None = None


@dataclass(frozen=True, kw_only=True)
class SourceSeries:
    """A series from which an object is derived.

    Args:
        attributes: patient, study and frame of reference; all values are valid, in UTF-8.
        series_uid: UID of the series.
        series_number: its number; 0 if it has none.
        modality: such as CT.
        images: the image of each slice, in order.
        notes: which values were not valid, one sentence each, without the values: these may name the patient.
    """

    attributes: Dataset
    series_uid: str
    series_number: int
    modality: str
    images: Sequence[SourceImage]
    notes: Sequence[str] = field(default=())

    def patient_and_study(self) -> Dataset:
        """Return a new dataset with the attributes, to which others can be added."""
        dataset = Dataset()
        dataset.update(self.attributes)
        return dataset


def describe_source(series: DicomSeries) -> SourceSeries:
    """Read what a derived object takes from a series.

    UIDs that an anonymised series lacks are generated, always the same for the same files: those of study, series and
    frame of reference from the UIDs of the instances, those of the instances from their file meta information.

    Args:
        series: an open series.
    """
    headers: dict[Any, Dataset] = {}
    images = []
    for part in series.slices:
        if part.stored.path not in headers:
            with part.stored.open() as stream, quiet_pydicom():
                headers[part.stored.path] = dcmread(stream, stop_before_pixels=True, force=True)
        header = headers[part.stored.path]
        with quiet_pydicom():
            sop_class, sop_instance = (
                str(header.get(name) or header.file_meta.get(f"MediaStorage{name}") or "")
                for name in ("SOPClassUID", "SOPInstanceUID")
            )
        images.append(SourceImage(sop_class, sop_instance, part.frame))
    first = headers[series.slices[0].stored.path]
    notes: list[str] = []
    attributes = Dataset()
    attributes.SpecificCharacterSet = UTF_8
    for name, kind in (PATIENT_AND_STUDY | OPTIONAL).items():
        value = valid_value(first, name, kind)
        if value is None:
            notes.append(f"{name} is not valid: left empty")
        if value or name in PATIENT_AND_STUDY:
            setattr(attributes, name, value or "")
    instances = [image.sop_instance for image in images]
    uids = {}
    for name in UIDS:
        if (uid := valid_value(first, name, "UI")) is None:
            notes.append(f"{name} is not valid: a new one is made")
        uids[name] = uid or generate_uid(entropy_srcs=[name, *instances])
    attributes.StudyInstanceUID, attributes.FrameOfReferenceUID = uids["StudyInstanceUID"], uids["FrameOfReferenceUID"]
    if (number := valid_value(first, "SeriesNumber", "IS")) is None:
        notes.append("SeriesNumber is not valid: taken as 0")
    return SourceSeries(
        attributes=attributes,
        series_uid=uids["SeriesInstanceUID"],
        series_number=int(number or 0),
        modality=series.slices[0].header.text.get("Modality", ""),
        images=images,
        notes=notes,
    )


def valid_value(dataset: Dataset, name: str, kind: str) -> str | None:
    """Return the value of an attribute as text, empty if there is none; None if the standard does not allow it."""
    try:
        with quiet_pydicom():
            value = str(dataset.get(name) or "").strip()
            validate_value(kind, value, config.RAISE)
            if kind == "UI" and value and not UID(value).is_valid:
                return None
    except (ValueError, TypeError, AttributeError, LookupError):
        return None
    if name == "PatientSex" and value not in SEXES:
        return None
    return value


def present_structures(
    labels: NDArray[np.integer], series: DicomSeries, structures: Sequence[Structure]
) -> list[Structure]:
    """Return the structures with voxels in a label map (columns, rows, slices) on the slices of a series.

    Raises:
        ValueError: the labels are not on the slices of the series.
    """
    shape = (*series.slices[0].shape, len(series.slices))
    if labels.shape != shape:
        raise ValueError(f"labels: shape {labels.shape}: must be {shape}, one slice for each of the series")
    return [structure for structure in structures if (labels == structure.label).any()]


def save_whole(dataset: Dataset, path: PathLike, name: str) -> None:
    """Save an object, called `name` in the error, to a file that is either complete or absent.

    Raises:
        VolumeError: the file cannot be written.
    """
    try:
        with replacing(path, suffix=".dcm") as temporary:
            dataset.save_as(temporary, enforce_file_format=True)
    except OSError as error:
        reason = error
        while reason.errno is None and isinstance(reason.__cause__, OSError):  # pydicom's, one for each tag around it
            reason = reason.__cause__
        raise VolumeError(path, reason.strerror or reason, f"the {name} must be writable there") from error
