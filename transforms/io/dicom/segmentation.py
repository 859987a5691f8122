"""Write a label map as DICOM Segmentation for the series it was made from, by highdicom (the extra `dicom`).

Each label becomes a binary segment with a coded property (DICOM PS3.3, C.8.20.4): a SNOMED CT code if the bundle gives
one or the label's name is listed here, otherwise the name itself in a private scheme.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.grid import label_dtype
from hybridseg.transforms.io.atomic import replacing

from .stored import StoredInstance

Triplet = Sequence[str]
"""Value, scheme and meaning of a code."""

STRUCTURES = {
    "adrenal_gland": "AdrenalGland",
    "aorta": "Aorta",
    "bladder": "Bladder",
    "brain": "Brain",
    "colon": "Colon",
    "duodenum": "Duodenum",
    "esophagus": "Esophagus",
    "gallbladder": "Gallbladder",
    "heart": "Heart",
    "hippocampus": "Hippocampus",
    "inferior_vena_cava": "InferiorVenaCava",
    "kidney": "Kidney",
    "liver": "Liver",
    "lung": "Lung",
    "pancreas": "Pancreas",
    "portal_vein": "PortalVein",
    "prostate": "Prostate",
    "small_intestine": "SmallIntestine",
    "spine": "Spine",
    "spleen": "Spleen",
    "stomach": "Stomach",
    "trachea": "Trachea",
}
"""Names of labels, with pydicom's names of their SNOMED CT codes; `left` or `right` may come before or after."""

SIDES = {"left": "Left", "right": "Right"}

MAY_BE_EMPTY = (
    "AccessionNumber",
    "PatientBirthDate",
    "PatientID",
    "PatientName",
    "PatientSex",
    "PositionReferenceIndicator",
    "ReferringPhysicianName",
    "StudyDate",
    "StudyID",
    "StudyTime",
)
"""Attributes that a segmentation must have, possibly without a value."""

PRIVATE_SCHEME = "99HYBRIDSEG"
MANUFACTURER = "HybridSeg"
UTF_8 = "ISO_IR 192"


def write_segmentation(
    labels: NDArray[np.integer],
    instances: Sequence[StoredInstance],
    path: PathLike,
    *,
    label_names: Mapping[int, str],
    codes: Mapping[int, Mapping[str, Triplet]] | None = None,
    algorithm: str,
    version: str,
) -> None:
    """Write a label map as a DICOM Segmentation file, which is either complete or absent.

    UIDs that an anonymised series lacks are generated, always the same for the same files: those of study, series and
    frame of reference from the UIDs of the instances, those of the instances from their file meta information.

    Args:
        labels: (X, Y, Z), along columns, rows and slices.
        instances: where each slice is stored, in order.
        path: the file to write; none is written, and an old one is removed, if no label has voxels.
        label_names: names of the labels to write; labels without voxels are left out.
        codes: codes of labels that replace those found by name: `type`, and optionally `modifier` and `category` (by
            default anatomical structure), each with value, scheme and meaning.
        algorithm: name of the algorithm that made the labels.
        version: version of the algorithm.

    Raises:
        ValueError: the extra `dicom` is not installed, or the labels are not on the grid of the files.
        VolumeError: the file cannot be written.
    """
    try:
        import highdicom as hd
        import pydicom
        from pydicom.sr.codedict import codes as known
    except ImportError as error:
        raise ValueError("dicom: highdicom is not installed: pip install 'hybridseg[dicom]'") from error
    if labels.ndim != 3 or labels.shape[2] != len(instances):
        raise ValueError(f"labels: shape {labels.shape}: must have one slice for each of {len(instances)} files")
    present = [label for label in sorted(label_names) if (labels == label).any()]
    if not present:
        Path(path).unlink(missing_ok=True)  # from an earlier run, whose label map was replaced
        return
    sources = []
    for instance in instances:
        with instance.open() as stream:
            sources.append(pydicom.dcmread(stream, stop_before_pixels=True))
    add_missing_attributes(sources)
    consecutive = np.zeros(int(labels.max()) + 1, dtype=label_dtype(len(present)))
    consecutive[present] = np.arange(1, len(present) + 1)
    identification = hd.AlgorithmIdentificationSequence(
        name=algorithm, version=version, family=known.DCM.ArtificialIntelligence
    )
    segments = [
        describe(number, label_names[label], (codes or {}).get(label), identification)
        for number, label in enumerate(present, start=1)
    ]
    segmentation = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=np.ascontiguousarray(consecutive[labels].transpose(2, 1, 0)),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=hd.UID(),
        series_number=int(sources[0].get("SeriesNumber") or 0) + 1000,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=algorithm,
        software_versions=version,
        device_serial_number="1",
        content_label="SEGMENTATION",
        content_description=algorithm[:64],
        series_description=algorithm[:64],
    )
    segmentation.SpecificCharacterSet = UTF_8  # for names in any script: the slices' own character set may lack letters
    try:
        with replacing(path, suffix=".dcm") as temporary:
            segmentation.save_as(temporary)
    except OSError as error:
        raise VolumeError(path, error.strerror or error, "the segmentation must be writable there") from error


def describe(number: int, name: str, codes: Mapping[str, Triplet] | None, identification: Any) -> Any:
    """Describe a segment: its number, name and codes."""
    import highdicom as hd
    from pydicom.sr.codedict import codes as known

    words = name.lower().replace(" ", "_").split("_")
    side = next((SIDES[word] for word in words if word in SIDES), None)
    structure = STRUCTURES.get("_".join(word for word in words if word not in SIDES))
    category, modifier = known.SCT.Organ, getattr(known.SCT, side) if side else None
    if codes is not None:
        kind = hd.sr.CodedConcept(*codes["type"])
        modifier = hd.sr.CodedConcept(*codes["modifier"]) if "modifier" in codes else None
        category = hd.sr.CodedConcept(*codes["category"]) if "category" in codes else known.SCT.AnatomicalStructure
    elif structure is not None:
        kind = getattr(known.SCT, structure)
    else:
        kind = hd.sr.CodedConcept(name.upper().replace(" ", "_"), PRIVATE_SCHEME, name[:64])
        category, modifier = known.SCT.Tissue, None
    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name[:64],
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=identification,
    )
    if modifier is not None:
        (property_type,) = description.SegmentedPropertyTypeCodeSequence
        property_type.SegmentedPropertyTypeModifierCodeSequence = [
            hd.sr.CodedConcept(modifier.value, modifier.scheme_designator, modifier.meaning)
        ]
    return description


def add_missing_attributes(sources: Sequence[Any]) -> None:
    """Add attributes that highdicom needs to slices (pydicom datasets) of an anonymised series that lack them."""
    from pydicom.uid import generate_uid

    for source in sources:
        for name in ("SOPInstanceUID", "SOPClassUID"):
            if not source.get(name):
                setattr(source, name, source.file_meta.get(f"MediaStorage{name}"))
    instances = [str(source.SOPInstanceUID) for source in sources]
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        common = sources[0].get(name) or generate_uid(entropy_srcs=[name, *instances])
        for source in sources:
            setattr(source, name, common)
    for source in sources:
        for name in MAY_BE_EMPTY:
            if name not in source:
                setattr(source, name, "")
