"""Contours and segments of files become the label map that was meant, on the grid of the image."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import Dataset

from hybridseg.transforms import VolumeError
from hybridseg.transforms.io import LoadVolumed
from hybridseg.transforms.io.dicom import open_series, write_segmentation
from hybridseg.transforms.io.dicom.writing.structure_set import write_structure_set
from hybridseg.transforms.io.label_formats import write_itk_labels
from hybridseg.transforms.io.masks import MaskFile
from hybridseg.transforms.structures import describe_structures

from ..dicom.dicom_files import SHAPE, write_series
from .mask_files import corners, write_rtstruct, write_slicer

LABELS = np.zeros(SHAPE, np.uint8)
LABELS[1:4, 2:6, 0:2] = 1
LABELS[6:8, 1:2, 1:4] = 2
NAMES = {1: "GTV_Mass_CT", 2: "kidney"}
ROIS = {"GTV*": 1, "kidney": 2}


def affine_of(folder: Path) -> NDArray[np.float64]:
    with open_series(folder) as series:
        return series.affine


def load(image: Path, masks: Path, rois: dict[str, int] | None = None) -> NDArray[np.float32]:
    loaded = LoadVolumed(["image", "label"])(
        {"image": str(image), "label": MaskFile(masks, ROIS if rois is None else rois)}
    )
    assert np.array_equal(loaded["label"].affine, loaded["image"].affine)
    voxels: NDArray[np.float32] = loaded["label"][0].numpy()
    return voxels


def contours(affine: NDArray[np.float64]) -> dict[str, list[NDArray[np.float64]]]:
    """Return the contours of `LABELS`."""
    gtv = [corners((1, 2), (3, 5), index, affine) for index in (0, 1)]
    return {"BODY": [], "GTV_Mass_CT": gtv, "kidney": [corners((6, 1), (7, 1), index, affine) for index in (1, 2, 3)]}


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A series of oblique slices."""
    folder = tmp_path_factory.mktemp("patient") / "ct"
    write_series(folder)
    return folder


def test_contours_of_an_rtstruct_become_labels(ct: Path, tmp_path: Path) -> None:
    file = write_rtstruct(tmp_path / "RS.dcm", contours(affine_of(ct)))
    np.testing.assert_array_equal(load(ct, file), LABELS)


def test_contours_fit_a_nifti_in_another_orientation(ct: Path, tmp_path: Path) -> None:
    file = write_rtstruct(tmp_path / "RS.dcm", contours(affine_of(ct)))
    image = nib.Nifti1Image(np.random.default_rng(0).normal(size=SHAPE).astype(np.float32), affine_of(ct))
    turned = image.as_reoriented([[2, 1], [0, -1], [1, 1]])
    nib.save(turned, tmp_path / "ct.nii.gz")
    expected = nib.Nifti1Image(LABELS, affine_of(ct)).as_reoriented([[2, 1], [0, -1], [1, 1]])
    np.testing.assert_array_equal(load(tmp_path / "ct.nii.gz", file), np.asarray(expected.dataobj))


def write_seg(image: Path, file: Path) -> Path:
    """Write `LABELS` as a DICOM SEG of a series."""
    pytest.importorskip("highdicom", reason="needs the extra `dicom`")
    with open_series(image) as series:
        write_segmentation(LABELS, series, file, describe_structures(NAMES), algorithm="test", version="1")
    return file


def convert_seg(file: Path, kind: str) -> None:
    """Turn a binary DICOM SEG into a fractional one, or into a label map."""
    dataset = pydicom.dcmread(file)
    frames: dict[object, NDArray[np.uint8]] = {}
    groups: dict[object, Dataset] = {}
    for voxels, group in zip(dataset.pixel_array, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        number = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        place = tuple(group.PlanePositionSequence[0].ImagePositionPatient)
        if kind == "LABELMAP":
            key, value = (place, 0), number
            del group.SegmentIdentificationSequence
        else:
            key, value = (place, number), 200
        frames[key] = frames.get(key, np.zeros_like(voxels)) + voxels * np.uint8(value)
        groups[key] = group
    dataset.SegmentationType, dataset.MaximumFractionalValue = kind, 255
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.NumberOfFrames, dataset.PerFrameFunctionalGroupsSequence = len(frames), list(groups.values())
    dataset.PixelData = np.stack(list(frames.values())).tobytes()
    dataset["PixelData"].VR = "OB"
    dataset.save_as(file)


def test_segments_of_a_dicom_seg_become_labels(ct: Path, tmp_path: Path) -> None:
    np.testing.assert_array_equal(load(ct, write_seg(ct, tmp_path / "seg.dcm")), LABELS)


@pytest.mark.parametrize("kind", ["FRACTIONAL", "LABELMAP"])
def test_other_types_of_dicom_seg_become_labels(ct: Path, tmp_path: Path, kind: str) -> None:
    file = write_seg(ct, tmp_path / "seg.dcm")
    convert_seg(file, kind)
    np.testing.assert_array_equal(load(ct, file), LABELS)


def test_contours_and_segments_that_are_written_are_read_back(ct: Path, tmp_path: Path) -> None:
    structures = describe_structures(NAMES)
    with open_series(ct) as series:
        write_structure_set(LABELS, series, tmp_path / "RS.dcm", structures, algorithm="test", version="1")
    write_itk_labels(LABELS, tmp_path / "a.seg.nrrd", affine_of(ct), structures)
    np.testing.assert_array_equal(load(ct, tmp_path / "RS.dcm"), LABELS)
    np.testing.assert_array_equal(load(ct, tmp_path / "a.seg.nrrd"), LABELS)


def test_segments_of_slicer_may_overlap_and_be_cropped(ct: Path, tmp_path: Path) -> None:
    affine = affine_of(ct)
    cropped = affine.copy()
    cropped[:3, 3] = affine[:3, :3] @ [1, 1, 0] + affine[:3, 3]
    whole = np.where(LABELS[1:, 1:] > 0, 3, 0).astype(np.uint8)
    kidney = np.where(LABELS[1:, 1:] == 2, 1, 0).astype(np.uint8)
    file = write_slicer(tmp_path / "a.seg.nrrd", [whole, kidney], cropped, {"GTV all": (0, 3), "kidney": (1, 1)})
    np.testing.assert_array_equal(load(ct, file), LABELS)
    np.testing.assert_array_equal(load(ct, file, {"kidney": 2, "GTV*": 1}), LABELS > 0)  # the later one wins


def test_masks_of_real_patients_equal_another_programs(data_dir: Path) -> None:
    different = {}
    for masks in sorted(data_dir.glob("sarcoma_dicom/*/*/mask")):
        found = load(masks.parent / "image", masks / "RS.dcm", {"GTV_Mass*": 1})
        expected = nib.Nifti1Image.from_filename(masks / "voxels.nii.gz").get_fdata()
        different[str(masks.relative_to(data_dir))] = int(np.count_nonzero(found != expected))
    assert len(different) == 9
    assert set(different.values()) == {0}


def test_a_pattern_without_roi_lists_the_names(ct: Path, tmp_path: Path) -> None:
    file = write_rtstruct(tmp_path / "RS.dcm", contours(affine_of(ct)))
    with pytest.raises(VolumeError, match=r"RS.dcm: no ROI matches 'liver': must be one of 'GTV_Mass_CT', 'kidney'"):
        load(ct, file, {"liver": 1})
    with pytest.raises(VolumeError, match=r"RS.dcm: ROIs 'GTV_Mass_CT', 'kidney': needs labels by ROI name"):
        load(ct, file, {})


def test_open_contours_are_an_error(ct: Path, tmp_path: Path) -> None:
    file = write_rtstruct(tmp_path / "RS.dcm", contours(affine_of(ct)), kind="OPEN_PLANAR")
    with pytest.raises(VolumeError, match=r"ROI 'GTV_Mass_CT' with a contour of type OPEN_PLANAR: must be CLOSED"):
        load(ct, file)


def test_contours_of_points_only_are_an_error(ct: Path, tmp_path: Path) -> None:
    file = write_rtstruct(tmp_path / "RS.dcm", contours(affine_of(ct)), kind="POINT")
    with pytest.raises(VolumeError, match=r"'GTV_Mass_CT' with 0 closed contours but no voxels: must enclose"):
        load(ct, file)


def test_a_structure_set_without_contours_is_an_error(ct: Path, tmp_path: Path) -> None:
    file = write_rtstruct(tmp_path / "RS.dcm", {"GTV": []})
    with pytest.raises(VolumeError, match=r"1 ROIs, none with contours: must have contours"):
        load(ct, file)


def test_a_contour_that_lacks_points_is_an_error(ct: Path, tmp_path: Path) -> None:
    file = write_rtstruct(tmp_path / "RS.dcm", contours(affine_of(ct)))
    dataset = pydicom.dcmread(file)
    contour = dataset.ROIContourSequence[1].ContourSequence[0]
    contour.ContourData = contour.ContourData[:-3]
    dataset.save_as(file)
    with pytest.raises(VolumeError, match=r"'GTV_Mass_CT' with a contour of 3 points: must be 4, as NumberOfContour"):
        load(ct, file)


def test_zero_bytes_in_a_contour_are_an_error(ct: Path, tmp_path: Path) -> None:
    file = write_rtstruct(tmp_path / "RS.dcm", contours(affine_of(ct)))
    content = file.read_bytes()
    number = str(pydicom.dcmread(file).ROIContourSequence[1].ContourSequence[0].ContourData[4].original_string)
    file.write_bytes(content.replace(number.encode(), number.encode()[:-3] + bytes(3), 1))
    with pytest.raises(VolumeError, match=r"RS.dcm: unreadable \(ContourData with zero bytes\)"):
        load(ct, file)


@pytest.mark.parametrize("name", ["StructureSetROISequence", "ROIContourSequence"])
def test_two_rois_of_one_number_are_an_error(ct: Path, tmp_path: Path, name: str) -> None:
    file = write_rtstruct(tmp_path / "RS.dcm", contours(affine_of(ct)))
    dataset = pydicom.dcmread(file)
    dataset[name].value.append(dataset[name].value[1])
    dataset.save_as(file)
    with pytest.raises(VolumeError, match=r"RS.dcm: 1 ROIs with the number of another: each must have its own"):
        load(ct, file)


def test_contours_beyond_the_slices_are_an_error(ct: Path, tmp_path: Path) -> None:
    affine = affine_of(ct)
    file = write_rtstruct(tmp_path / "RS.dcm", {"GTV": [corners((1, 2), (3, 5), 7, affine)]})
    with pytest.raises(VolumeError, match=r"ROI 'GTV' with contours on slices 7 to 7: must lie on slices 0 to 4"):
        load(ct, file, {"GTV": 1})


def test_a_seg_on_another_grid_is_an_error(ct: Path, tmp_path: Path) -> None:
    write_series(tmp_path / "other", spacing=(0.9, 1.2, 2.5))
    file = write_seg(tmp_path / "other", tmp_path / "seg.dcm")
    with pytest.raises(VolumeError, match=r"frame \d with voxels up to 1 voxels away .* must be on the image's voxels"):
        load(ct, file)


def test_segments_outside_the_image_are_an_error(ct: Path, tmp_path: Path) -> None:
    affine = affine_of(ct)
    affine[:3, 3] += affine[:3, :3] @ [6, 0, 0]
    file = write_slicer(tmp_path / "a.seg.nrrd", [LABELS], affine, {"GTV": (0, 1)})
    with pytest.raises(VolumeError, match=r"a.seg.nrrd: \d+ voxels outside the image: must lie within it"):
        load(ct, file, {"GTV": 1})


@pytest.mark.parametrize("size", [0, 100, 200, 1000])
def test_a_truncated_rtstruct_is_an_error_in_one_line(ct: Path, tmp_path: Path, size: int) -> None:
    file = write_rtstruct(tmp_path / "RS.dcm", contours(affine_of(ct)))
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(VolumeError, match=r"^[^\n]*RS.dcm: [^\n]*$"):
        load(ct, file)


def test_an_image_is_no_mask(ct: Path, tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match=r"SOP class .* must be an RTSTRUCT or a DICOM Segmentation"):
        load(ct, next(ct.iterdir()))


def test_masks_alone_are_put_on_the_grid_of_their_image(ct: Path, tmp_path: Path) -> None:
    file = write_rtstruct(tmp_path / "RS.dcm", contours(affine_of(ct)))
    loaded = LoadVolumed(["label"])({"label": MaskFile(file, ROIS, str(ct))})["label"]
    np.testing.assert_array_equal(loaded[0], LABELS)
    np.testing.assert_allclose(loaded.affine, affine_of(ct))


def test_masks_alone_need_an_image(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match=r"masks without an image: an image must be loaded with them"):
        LoadVolumed(["label"])({"label": MaskFile(tmp_path / "RS.dcm", ROIS)})
