"""Write a label map as an RT Structure Set (DICOM PS3.3, A.19) for the series it was made from, by pydicom.

Each label becomes a region of interest with closed planar contours on the slices of the series.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import DataElement, Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from hybridseg.transforms.errors import PathLike
from hybridseg.transforms.io.dicom.series import DicomSeries
from hybridseg.transforms.io.dicom.slices import Slice
from hybridseg.transforms.structures import ANATOMY, Structure

from .derived import (
    LONGEST_NAME,
    MANUFACTURER,
    SERIES_NUMBER_OFFSET,
    SourceImage,
    SourceSeries,
    describe_source,
    present_structures,
    save_whole,
)
from .outlines import Contour, outline
from .segmentation import short_code

CONTOUR_DATA = 0x30060050
DETACHED_STUDY = "1.2.840.10008.3.1.2.3.1"
LONGEST_LABEL = 16
TARGETS = ("GTV", "CTV", "PTV")
"""Kinds of targets, by which the names of their regions begin."""


def write_structure_set(
    labels: NDArray[np.integer],
    series: DicomSeries,
    path: PathLike,
    structures: Sequence[Structure],
    *,
    algorithm: str,
    version: str,
) -> list[str]:
    """Write a label map as an RT Structure Set file, which is either complete or absent.

    Every voxel lies within a contour of its label, so that also a label of one voxel is there.

    Args:
        labels: (columns, rows, slices), on the slices of the series.
        series: the open series.
        path: the file to write; none is written, and an old one is removed, if no label has voxels.
        structures: the labels to write; those without voxels are left out.
        algorithm: name of the algorithm that made the labels.
        version: version of the algorithm.

    Returns:
        Notes for the user: which values of the series are not valid and were replaced.

    Raises:
        ValueError: the labels are not on the grid of the series.
        VolumeError: the file cannot be written.
    """
    present = present_structures(labels, series, structures)
    if not present:
        Path(path).unlink(missing_ok=True)  # from an earlier run, whose label map was replaced
        return []
    source = describe_source(series)
    dataset = describe_set(source, algorithm=algorithm, version=version)
    dataset.ReferencedFrameOfReferenceSequence = [referenced_frame(source)]
    dataset.StructureSetROISequence = [region(structure, source) for structure in present]
    dataset.ROIContourSequence = [region_contours(labels, structure, series, source) for structure in present]
    dataset.RTROIObservationsSequence = [observation(structure) for structure in present]
    dataset.ApprovalStatus = "UNAPPROVED"
    save_whole(dataset, path, "structure set")
    return list(source.notes)


def describe_set(source: SourceSeries, *, algorithm: str, version: str) -> Dataset:
    """Make a structure set without regions: patient, study, a series of its own, and what made it."""
    now = datetime.now()
    dataset = source.patient_and_study()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian  # explicit contours could not be longer than 64 KB
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, generate_uid()
    dataset.Modality = "RTSTRUCT"
    dataset.SeriesInstanceUID, dataset.SeriesNumber = generate_uid(), source.series_number + SERIES_NUMBER_OFFSET + 1
    dataset.SeriesDescription = algorithm[:LONGEST_NAME]
    dataset.OperatorsName = ""
    dataset.setdefault("PositionReferenceIndicator", "")
    dataset.Manufacturer, dataset.ManufacturerModelName = MANUFACTURER, algorithm[:LONGEST_NAME]
    dataset.SoftwareVersions = version
    dataset.InstanceNumber = 1
    dataset.StructureSetLabel, dataset.StructureSetName = "HybridSeg"[:LONGEST_LABEL], algorithm[:LONGEST_NAME]
    dataset.StructureSetDate, dataset.StructureSetTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    return dataset


def referenced_frame(source: SourceSeries) -> Dataset:
    """Refer to the frame of reference, the study, the series and all its images."""
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = source.series_uid
    series.ContourImageSequence = [referenced_image(image) for image in source.images]
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = DETACHED_STUDY, source.attributes.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = source.attributes.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def referenced_image(image: SourceImage) -> Dataset:
    """Refer to the image of a slice."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.sop_class, image.sop_instance
    if image.frame is not None:
        item.ReferencedFrameNumber = image.frame
    return item


def region(structure: Structure, source: SourceSeries) -> Dataset:
    """Describe a region of interest; its number is that of the label."""
    item = Dataset()
    item.ROINumber, item.ROIName = structure.label, structure.name[:LONGEST_NAME]
    item.ReferencedFrameOfReferenceUID = source.attributes.FrameOfReferenceUID
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    return item


def region_contours(
    labels: NDArray[np.integer], structure: Structure, series: DicomSeries, source: SourceSeries
) -> Dataset:
    """Outline a label (columns, rows, slices) on every slice."""
    item = Dataset()
    item.ROIDisplayColor, item.ReferencedROINumber = list(structure.rgb), structure.label
    item.ContourSequence = [
        contour_item(contour, part, image)
        for plane, part, image in zip(np.moveaxis(labels, 2, 0), series.slices, source.images, strict=True)
        for contour in outline(plane == structure.label)
    ]
    return item


def contour_item(contour: Contour, part: Slice, image: SourceImage) -> Dataset:
    """Place a contour on its slice, in LPS mm."""
    item = Dataset()
    item.ContourImageSequence = [referenced_image(image)]
    item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(contour)
    points = part.position + (contour * part.spacing) @ part.orientation
    text = "\\".join(f"{value:.4f}" for value in points.ravel().tolist())
    item.add(DataElement(CONTOUR_DATA, "DS", text, already_converted=True))  # pydicom would convert every number
    return item


def observation(structure: Structure) -> Dataset:
    """Say what a region is: its kind, and its code if it has one of a public scheme."""
    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = structure.label
    item.ROIObservationLabel = structure.name[:LONGEST_LABEL]
    target = next((kind for kind in TARGETS if structure.name.upper().startswith(kind)), None)
    item.RTROIInterpretedType = target or ("ORGAN" if structure.codes.category == ANATOMY else "")
    item.ROIInterpreter = ""
    if structure.is_coded:
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = short_code(structure.codes.type)
        item.RTROIIdentificationCodeSequence = [code]
    return item
