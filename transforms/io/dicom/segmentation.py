"""Write a label map as DICOM Segmentation beside the series it was made from, by highdicom (the extra `dicom`).

One binary segment for each label, with a coded property (DICOM PS3.3, C.8.20.4): a SNOMED CT code where the label's
name is known here or the bundle gives one, otherwise the name itself in a private scheme.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.io.atomic import replacing

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
"""Names of labels, and pydicom's names of their SNOMED CT codes; `_left` or `_right` may follow or go before."""
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
"""What a segmentation must have, but not with a value."""
PRIVATE_SCHEME = "99HYBRIDSEG"
MANUFACTURER = "HybridSeg"
UTF_8 = "ISO_IR 192"


def write_segmentation(
    labels: NDArray[np.integer],
    files: Sequence[Path],
    path: PathLike,
    *,
    label_names: Mapping[int, str],
    codes: Mapping[int, Mapping[str, Triplet]] | None = None,
    algorithm: str,
    version: str,
) -> None:
    """Write a label map as DICOM Segmentation, whole or not at all.

    What an anonymised series lacks is made up anew, always the same for the same files: UIDs of study, series and frame
    of reference from the names of the instances, UIDs of the instances from their file meta information.

    Args:
        labels: (X, Y, Z), along columns, rows and slices.
        files: one for each slice, in order.
        path: the file to write; there is none where no label has voxels.
        label_names: the labels to describe, and their names; those without voxels are left out.
        codes: of labels, instead of those that follow from their names: `type`, and perhaps `modifier` and `category`,
            which is an anatomical structure otherwise, each with value, scheme and meaning.
        algorithm: what made the labels.
        version: of it.

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
    if labels.ndim != 3 or labels.shape[2] != len(files):
        raise ValueError(f"labels: shape {labels.shape}: must have a slice for each of {len(files)} files")
    present = [label for label in sorted(label_names) if (labels == label).any()]
    if not present:
        Path(path).unlink(missing_ok=True)  # of an earlier run, whose label map is replaced
        return
    sources = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
    complete(sources)
    consecutive = np.zeros(int(labels.max()) + 1, dtype=np.uint8 if len(present) < 256 else np.uint16)
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
    segmentation.SpecificCharacterSet = UTF_8  # for names of any script; what the slices use may lack their letters
    try:
        with replacing(path, suffix=".dcm") as temporary:
            segmentation.save_as(temporary)
    except OSError as error:
        raise VolumeError(path, error.strerror or error, "the segmentation must be writable there") from error


def describe(number: int, name: str, codes: Mapping[str, Triplet] | None, identification: Any) -> Any:
    """The description of a segment."""
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


def complete(sources: Sequence[Any]) -> None:
    """Fill in what highdicom needs of slices (pydicom datasets) and an anonymised series may lack."""
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
