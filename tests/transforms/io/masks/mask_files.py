"""Write RTSTRUCT files and segmentations of 3D Slicer for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

RTSTRUCT = UID("1.2.840.10008.5.1.4.1.1.481.3")
CLOSED = "CLOSED_PLANAR"

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def corners(low: ArrayLike, high: ArrayLike, slice_index: float, affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the corners (4, 3) in LPS mm of a rectangle around the voxels from `low` to `high` in a slice."""
    (x0, y0), (x1, y1) = np.asarray(low) - 0.5, np.asarray(high) + 0.5
    indices = np.array([[x, y, slice_index] for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))])
    to_lps = LPS_TO_RAS @ affine
    return indices @ to_lps[:3, :3].T + to_lps[:3, 3]


def write_rtstruct(
    path: Path,
    rois: Mapping[str, Sequence[ArrayLike]],
    *,
    kind: str = CLOSED,
    series: str = "1.2.3",
    frame_of_reference: str = "1.2.9",
) -> Path:
    """Write an RTSTRUCT.

    Args:
        path: the file.
        rois: the contours of each ROI, (N, 3) in LPS mm.
        kind: ContourGeometricType of all.
        series: SeriesInstanceUID of the image.
        frame_of_reference: its FrameOfReferenceUID.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = RTSTRUCT
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    dataset.Modality = "RTSTRUCT"
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[str(path), "series"])
    reference, study, image = Dataset(), Dataset(), Dataset()
    image.SeriesInstanceUID = series
    study.RTReferencedSeriesSequence = [image]
    reference.FrameOfReferenceUID = frame_of_reference
    reference.RTReferencedStudySequence = [study]
    dataset.ReferencedFrameOfReferenceSequence = [reference]
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(rois.items(), start=1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber = drawn.ReferencedROINumber = number
        roi.ROIName, roi.ReferencedFrameOfReferenceUID = name, frame_of_reference
        dataset.StructureSetROISequence.append(roi)
        items = []
        for points in contours:
            item = Dataset()
            item.ContourGeometricType = kind
            item.NumberOfContourPoints = len(np.asarray(points))
            item.ContourData = [f"{value:.6f}"[:16] for value in np.asarray(points).ravel()]
            items.append(item)
        if items:
            drawn.ContourSequence = items
        dataset.ROIContourSequence.append(drawn)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_slicer(
    path: Path, layers: Sequence[NDArray[np.uint8]], affine: NDArray[np.float64], segments: Mapping[str, Sequence[int]]
) -> Path:
    """Write a segmentation as 3D Slicer does.

    Args:
        path: the file.
        layers: label maps (X, Y, Z).
        affine: (4, 4), voxel indices to RAS mm.
        segments: layer and value of each segment.
    """
    stacked = np.stack([layer.T for layer in layers], axis=-1)
    image = sitk.GetImageFromArray(stacked[..., 0] if len(layers) == 1 else stacked, isVector=len(layers) > 1)
    to_lps = LPS_TO_RAS @ affine
    spacing = np.linalg.norm(to_lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((to_lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(to_lps[:3, 3].tolist())
    for index, (name, (layer, value)) in enumerate(segments.items()):
        image.SetMetaData(f"Segment{index}_Name", name)
        image.SetMetaData(f"Segment{index}_Layer", str(layer))
        image.SetMetaData(f"Segment{index}_LabelValue", str(value))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, path, imageIO="NrrdImageIO")
    return path
