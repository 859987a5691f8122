"""Contours of an RT Structure Set, filled by this and another program, give the same labels in the same place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from hybridseg.transforms import VolumeError, write_labels
from hybridseg.transforms.io.dicom import DicomSeries, open_series, write_structure_set
from hybridseg.transforms.structures import describe_structures

from .derived_files import KINDS, LABELS, NAMES, classic, fill, run, standard_errors, with_values

ABOUT = {"algorithm": "HybridSeg test", "version": "1.2"}


def read_back(path: Path, series: DicomSeries) -> dict[str, NDArray[np.bool_]]:
    """Return each region as a mask (columns, rows, slices), from contours on the slices that they refer to."""
    dataset = pydicom.dcmread(path)
    shape = series.slices[0].shape
    order = {}
    for index, part in enumerate(series.slices):
        with part.stored.open() as stream:
            source = pydicom.dcmread(stream, stop_before_pixels=True)
        order[str(source.SOPInstanceUID), part.frame] = index
    names = {region.ROINumber: region.ROIName for region in dataset.StructureSetROISequence}
    masks = {}
    for region in dataset.ROIContourSequence:
        mask = masks[names[region.ReferencedROINumber]] = np.zeros((*shape, len(series.slices)), bool)
        for contour in region.ContourSequence:
            (image,) = contour.ContourImageSequence
            index = order[str(image.ReferencedSOPInstanceUID), image.get("ReferencedFrameNumber")]
            part = series.slices[index]
            points = np.reshape(np.array(contour.ContourData, float), (-1, 3)) - part.position
            assert len(points) == contour.NumberOfContourPoints
            np.testing.assert_allclose(points @ np.cross(*part.orientation), 0, atol=1e-3)
            mask[:, :, index] |= fill([points @ part.orientation.T / part.spacing], shape)
    return masks


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_contours_of_any_series_are_read_back_in_place(kind: Callable[[Path], Path], tmp_path: Path) -> None:
    path = tmp_path / "out" / "rs.dcm"
    with open_series(kind(tmp_path / "series")) as series:
        upright = np.zeros(series.header.shape, np.uint8)
        upright[: LABELS.shape[0], -LABELS.shape[1] :] = LABELS
        labels = series.labels_on_slices(upright)
        write_structure_set(labels, series, path, describe_structures(NAMES), **ABOUT)
        masks = read_back(path, series)
    assert masks.keys() == {name for label, name in NAMES.items() if (labels == label).any()}
    for label, name in NAMES.items():
        if name in masks:
            np.testing.assert_array_equal(masks[name], label == labels)
    assert standard_errors(path) == []


def test_regions_have_names_colours_and_codes(tmp_path: Path) -> None:
    names = {1: "liver", 4: "GTV_Mass", 5: "肝臓 " + "x" * 80}
    with open_series(KINDS["CT"](tmp_path / "series")) as series:
        write_structure_set(LABELS, series, tmp_path / "rs.dcm", describe_structures(names), **ABOUT)
    dataset = pydicom.dcmread(tmp_path / "rs.dcm")
    assert [region.ROIName for region in dataset.StructureSetROISequence] == ["liver", "GTV_Mass", names[5][:64]]
    assert [tuple(region.ROIDisplayColor) for region in dataset.ROIContourSequence] == [
        structure.rgb for structure in describe_structures(names)
    ]
    liver, tumour, unknown = dataset.RTROIObservationsSequence
    assert (liver.RTROIInterpretedType, tumour.RTROIInterpretedType) == ("ORGAN", "GTV")
    assert liver.RTROIIdentificationCodeSequence[0].CodeValue == "10200004"
    assert "RTROIIdentificationCodeSequence" not in unknown
    assert (dataset.StudyInstanceUID, dataset.PatientID, dataset.ApprovalStatus) == ("1.2", "MRN1", "UNAPPROVED")
    (frame,) = dataset.ReferencedFrameOfReferenceSequence
    (referenced,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert (frame.FrameOfReferenceUID, referenced.SeriesInstanceUID) == ("1.2.8", "1.2.3")
    assert len(referenced.ContourImageSequence) == LABELS.shape[2]


def test_long_contours_are_written_whole(tmp_path: Path) -> None:
    """A comb has more points than an explicit decimal string can hold."""
    labels = np.zeros((900, 40, 2), np.uint8)
    labels[::2, :39] = 1
    labels[:, 39] = 1
    voxels = np.zeros(labels.shape, np.int16)
    with open_series(classic()(tmp_path / "small")) as small:
        positions = np.array([part.position for part in small.slices[:2]])
    with open_series(classic(voxels=voxels, positions=positions)(tmp_path / "series")) as series:
        write_structure_set(labels, series, tmp_path / "rs.dcm", describe_structures({1: "liver"}), **ABOUT)
    (region,) = pydicom.dcmread(tmp_path / "rs.dcm").ROIContourSequence
    assert len(region.ContourSequence) == 2
    for contour in region.ContourSequence:
        assert len(contour.ContourData) == 3 * int(contour.NumberOfContourPoints) > 8000


def test_without_labels_nothing_is_written_and_an_old_file_removed(tmp_path: Path) -> None:
    (tmp_path / "rs.dcm").touch()
    with open_series(KINDS["CT"](tmp_path / "series")) as series:
        write_structure_set(0 * LABELS, series, tmp_path / "rs.dcm", describe_structures(NAMES), **ABOUT)
    assert not (tmp_path / "rs.dcm").exists()


def test_wrong_grid_and_unwritable_path_are_errors(tmp_path: Path) -> None:
    structures = describe_structures(NAMES)
    (tmp_path / "folder.dcm").mkdir()
    with open_series(KINDS["CT"](tmp_path / "series")) as series:
        with pytest.raises(ValueError, match=r"labels: shape \(9, 7, 4\): must be \(9, 7, 5\), one slice for each of "):
            write_structure_set(LABELS[:, :, 1:], series, tmp_path / "other.dcm", structures, **ABOUT)
        with pytest.raises(VolumeError, match=r"folder.dcm: .*: the structure set must be writable there"):
            write_structure_set(LABELS, series, tmp_path / "folder.dcm", structures, **ABOUT)


def test_invalid_values_are_named_without_them(tmp_path: Path) -> None:
    with open_series(classic(with_values(PatientBirthDate="Jane's"))(tmp_path / "series")) as series:
        notes = write_structure_set(LABELS, series, tmp_path / "rs.dcm", describe_structures(NAMES), **ABOUT)
    assert notes == ["PatientBirthDate is not valid: left empty"]


@pytest.mark.parametrize("modality", ["CT", "MR_T1", "PET"])
def test_plastimatch_finds_the_same_voxels(modality: str, data_dir: Path, tmp_path: Path) -> None:
    """An organ, a vessel with a wall of one voxel, and a single voxel, on slices of a patient."""
    with open_series(data_dir / "sarcoma_dicom" / "STS_032" / modality / "image") as series:
        columns, rows, slices = series.header.shape
        x, y, z = np.ogrid[:columns, :rows, :slices]
        distance = np.hypot(x - columns / 2, y - rows / 2) / min(columns, rows)
        labels = np.zeros(series.header.shape, np.uint8)
        labels[(distance < 0.4) & (distance > 0.15) & (z > 1) & (z < slices - 2)] = 1
        labels[(distance < 0.1) & (distance > 0.06) & (z > 1) & (z < slices - 2)] = 2
        labels[3, 3, 2] = 3
        names = {1: "liver", 2: "aorta", 3: "mass"}
        write_structure_set(labels, series, tmp_path / "rs.dcm", describe_structures(names), **ABOUT)
        write_labels(labels, tmp_path / "map.nii.gz", affine=series.affine)
    run(
        *("plastimatch", "convert", "--input", tmp_path / "rs.dcm", "--fixed", tmp_path / "map.nii.gz"),
        *("--output-prefix", tmp_path / "masks", "--prefix-format", "nii.gz"),
    )
    for label, name in names.items():
        mask = nib.Nifti1Image.from_filename(tmp_path / "masks" / f"{name}.nii.gz")
        np.testing.assert_array_equal(np.asarray(mask.dataobj) > 0, labels == label)
    assert standard_errors(tmp_path / "rs.dcm") == []
