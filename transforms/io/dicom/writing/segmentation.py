"""Write a label map as DICOM Segmentation for the series it was made from, by highdicom (the extra `dicom`).

Each label becomes a binary segment with a coded property and a colour (DICOM PS3.3, C.8.20.4). highdicom gets plain
slices, made of what was checked when the series was read: how the series itself is stored, such as in one enhanced
file, does not matter. The references are those of the series.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import CTImageStorage, generate_uid

from hybridseg.transforms.errors import PathLike
from hybridseg.transforms.extras import install_command
from hybridseg.transforms.grid import label_dtype, voxel_lengths
from hybridseg.transforms.io.dicom.series import DicomSeries
from hybridseg.transforms.structures import Structure, Triplet

from .derived import (
    LONGEST_NAME,
    MANUFACTURER,
    SERIES_NUMBER_OFFSET,
    UTF_8,
    SourceImage,
    SourceSeries,
    describe_source,
    present_structures,
    save_whole,
)


def write_segmentation(
    labels: NDArray[np.integer],
    series: DicomSeries,
    path: PathLike,
    structures: Sequence[Structure],
    *,
    algorithm: str,
    version: str,
) -> list[str]:
    """Write a label map as a DICOM Segmentation file, which is either complete or absent.

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
        ValueError: the extra `dicom` is not installed, or the labels are not on the grid of the series.
        VolumeError: the file cannot be written.
    """
    try:
        import highdicom as hd
        from pydicom.sr.codedict import codes
    except ImportError as error:
        raise ValueError(f"dicom-seg: highdicom is not installed: {install_command('dicom')}") from error
    present = present_structures(labels, series, structures)
    if not present:
        Path(path).unlink(missing_ok=True)  # from an earlier run, whose label map was replaced
        return []
    source = describe_source(series)
    numbers = np.zeros(int(labels.max()) + 1, dtype=label_dtype(len(present)))
    numbers[[structure.label for structure in present]] = np.arange(1, len(present) + 1)
    identification = hd.AlgorithmIdentificationSequence(
        name=algorithm, version=version, family=codes.DCM.ArtificialIntelligence
    )
    slices = plain_slices(series, source)
    segmentation = hd.seg.Segmentation(
        source_images=slices,
        pixel_array=np.ascontiguousarray(numbers[labels].transpose(2, 1, 0)),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            describe_segment(number, structure, identification) for number, structure in enumerate(present, start=1)
        ],
        series_instance_uid=hd.UID(),
        series_number=source.series_number + SERIES_NUMBER_OFFSET,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=algorithm[:LONGEST_NAME],
        software_versions=version,
        device_serial_number="1",
        content_label="SEGMENTATION",
        content_description=algorithm[:LONGEST_NAME],
        series_description=algorithm[:LONGEST_NAME],
        specific_character_set=UTF_8,  # for names in any script
    )
    stand_ins = {part.SOPInstanceUID: image for part, image in zip(slices, source.images, strict=True)}
    refer_to(segmentation, stand_ins)
    save_whole(segmentation, path, "segmentation")
    return list(source.notes)


def describe_segment(number: int, structure: Structure, identification: Any) -> Any:
    """Describe a segment: its number, name, codes and colour."""
    import highdicom as hd

    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=structure.name[:LONGEST_NAME],
        segmented_property_category=hd.sr.CodedConcept(*structure.codes.category),
        segmented_property_type=hd.sr.CodedConcept(*short_code(structure.codes.type)),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=identification,
        display_color=hd.color.CIELabColor.from_rgb(*structure.rgb),
    )
    if structure.codes.modifier is not None:
        (property_type,) = description.SegmentedPropertyTypeCodeSequence
        property_type.SegmentedPropertyTypeModifierCodeSequence = [hd.sr.CodedConcept(*structure.codes.modifier)]
    return description


def short_code(code: Triplet) -> Triplet:
    """Return a code whose meaning is no longer than the standard allows."""
    value, scheme, meaning = code
    return value, scheme, meaning[:LONGEST_NAME]


def plain_slices(series: DicomSeries, source: SourceSeries) -> list[Dataset]:
    """Make a plain CT slice, with a UID of its own, for each slice of a series."""
    distance = f"{voxel_lengths(series.affine)[2]:.6g}"
    slices = []
    for part in series.slices:
        plain = source.patient_and_study()
        plain.SOPClassUID, plain.SOPInstanceUID = CTImageStorage, generate_uid()
        plain.SeriesInstanceUID, plain.Modality = source.series_uid, source.modality
        plain.setdefault("PositionReferenceIndicator", "")
        plain.Columns, plain.Rows = part.shape
        plain.PixelSpacing = decimals(part.spacing[::-1])
        plain.SliceThickness = plain.SpacingBetweenSlices = distance
        plain.ImagePositionPatient = decimals(part.position)
        plain.ImageOrientationPatient = decimals(series.slices[0].orientation.ravel())
        slices.append(plain)
    return slices


def decimals(numbers: NDArray[np.floating]) -> list[str]:
    """Format numbers in the 16 characters that a decimal string may have."""
    from pydicom.valuerep import format_number_as_ds

    return [format_number_as_ds(float(number)) for number in numbers]


def refer_to(dataset: Dataset, stand_ins: Mapping[str, SourceImage]) -> None:
    """Replace each reference to a plain slice by one to the image that the slice was made from, each image once."""
    for element in dataset:
        if element.VR != "SQ":
            continue
        kept: list[Dataset] = []
        for item in element.value:
            image = stand_ins.get(item.get("ReferencedSOPInstanceUID", ""))
            if image is not None:
                item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.sop_class, image.sop_instance
                if element.keyword != "ReferencedInstanceSequence" and image.frame is not None:
                    item.ReferencedFrameNumber = image.frame
                if item in kept:  # several frames of one file
                    continue
            else:
                refer_to(item, stand_ins)
            kept.append(item)
        if len(kept) < len(element.value):
            element.value = kept
