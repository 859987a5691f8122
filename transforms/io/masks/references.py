"""What a DICOM file is, and which series a mask was made for: read without the image, the contours or the frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from hybridseg.transforms.errors import VolumeError

from .dicom_objects import MASK_CLASSES, BoundedStream, reading, sequence

if TYPE_CHECKING:
    from pydicom import Dataset

IMAGE_LAST, MASK_LAST = 0x00200052, 0x30060010
"""The last tags that are needed: FrameOfReferenceUID of an image, ReferencedFrameOfReferenceSequence of an RTSTRUCT."""


@dataclass(frozen=True, kw_only=True)
class DicomSummary:
    """What a DICOM file is.

    Args:
        sop_class: SOPClassUID.
        modality: Modality, such as CT.
        series: SeriesInstanceUID.
        frame_of_reference: FrameOfReferenceUID; for a mask, that of its image.
        referenced: SeriesInstanceUID of the series that a mask references.
    """

    sop_class: str
    modality: str
    series: str
    frame_of_reference: str
    referenced: frozenset[str] = frozenset()

    @property
    def is_mask(self) -> bool:
        """Whether it is an RTSTRUCT or a DICOM Segmentation."""
        return self.sop_class in MASK_CLASSES

    @property
    def is_image(self) -> bool:
        """Whether it is an image."""
        from pydicom.uid import UID_dictionary

        return not self.is_mask and "Image Storage" in UID_dictionary.get(self.sop_class, ("",))[0]


def read_summary(path: Path) -> DicomSummary:
    """Read what a DICOM file is.

    Raises:
        VolumeError: it cannot be read.
    """
    with reading(path) as stream:
        summary = summarise(read_until(stream, IMAGE_LAST))
        if not summary.sop_class:
            raise VolumeError(path, "no SOPClassUID", "must be a whole DICOM file")
        return summarise(read_until(stream, MASK_LAST)) if summary.is_mask else summary


def read_until(stream: BinaryIO, last: int) -> Dataset:
    """Read the elements of a file up to a tag."""
    from pydicom.filereader import read_partial

    stream.seek(0)
    return read_partial(cast(BinaryIO, BoundedStream(stream)), lambda tag, vr, length: tag > last, force=True)


def summarise(dataset: Dataset) -> DicomSummary:
    """Return what a file is from its elements."""
    frames = sequence(dataset, "ReferencedFrameOfReferenceSequence")
    series = [
        *(
            series
            for frame in frames
            for study in sequence(frame, "RTReferencedStudySequence")
            for series in sequence(study, "RTReferencedSeriesSequence")
        ),
        *sequence(dataset, "ReferencedSeriesSequence"),
    ]
    frame_of_reference = next((frame.get("FrameOfReferenceUID") for frame in frames), None)
    return DicomSummary(
        sop_class=str(dataset.get("SOPClassUID") or ""),
        modality=str(dataset.get("Modality") or ""),
        series=str(dataset.get("SeriesInstanceUID") or ""),
        frame_of_reference=str(frame_of_reference or dataset.get("FrameOfReferenceUID") or ""),
        referenced=frozenset(str(one.get("SeriesInstanceUID")) for one in series),
    )
