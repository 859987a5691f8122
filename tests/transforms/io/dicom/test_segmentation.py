"""A DICOM SEG gives the same labels in the same place when read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridseg.bundles import bundle_path
from hybridseg.transforms import VolumeError
from hybridseg.transforms.io.dicom.segmentation import write_segmentation
from hybridseg.transforms.io.dicom.series import open_series
from hybridseg.transforms.io.dicom.stored import StoredInstance
from hybridseg.transforms.io.json_files import read_json

from .dicom_files import SHAPE, write_series

hd = pytest.importorskip("highdicom", reason="needs the extra `dicom`")

NAMES = {1: "liver", 4: "kidney_left", 5: "something new", 9: "spleen"}
LABELS = np.zeros(SHAPE, np.uint8)
LABELS[1:4, 2:6, 0:2] = 1
LABELS[6:8, 1:2, 1:4] = 4
LABELS[5:6, 3:7, 4:5] = 5  # no voxel has label 9, and slice 3 has only one label
ABOUT: dict[str, Any] = {"label_names": NAMES, "algorithm": "HybridSeg test", "version": "1.2"}


def read_back(path: Path, files: list[Path], shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return each segment as a mask (columns, rows, slices), assembled from the slices that its frames refer to."""
    import pydicom

    segmentation = hd.seg.segread(path)
    slices = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
    order = {str(part.file_meta.MediaStorageSOPInstanceUID): index for index, part in enumerate(slices)}
    masks = {}
    for number in segmentation.segment_numbers:
        name = segmentation.get_segment_description(number).segment_label
        masks[name] = np.zeros(shape, bool)
    for frame, groups in zip(segmentation.pixel_array, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        shared = segmentation.SharedFunctionalGroupsSequence[0]  # if there is only one segment
        (identified,) = (groups if "SegmentIdentificationSequence" in groups else shared).SegmentIdentificationSequence
        number = identified.ReferencedSegmentNumber
        source = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        masks[segmentation.get_segment_description(number).segment_label][:, :, order[source]] = frame.T
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        wanted = slices[order[source]].ImagePositionPatient
        np.testing.assert_allclose(np.array(position, float), np.array(wanted, float), atol=1e-4)
    return masks


def write(folder: Path, **changes: Any) -> tuple[Path, list[Path]]:
    """Write a series and the labels; return the file of the labels and those of the series."""
    write_series(folder / "ct")
    with open_series(folder / "ct") as series:
        write_segmentation(LABELS, series.instances, folder / "out" / "seg.dcm", **{**ABOUT, **changes})
        return folder / "out" / "seg.dcm", series.files


def test_every_label_is_read_back_in_place(tmp_path: Path) -> None:
    path, files = write(tmp_path)
    masks = read_back(path, files, SHAPE)
    assert masks.keys() == {"liver", "kidney_left", "something new"}
    for label, name in NAMES.items():
        if name in masks:
            np.testing.assert_array_equal(masks[name], label == LABELS)


def test_labels_are_coded(tmp_path: Path) -> None:
    path, _ = write(tmp_path)
    segmentation = hd.seg.segread(path)
    liver, kidney, unknown = (segmentation.get_segment_description(number) for number in (1, 2, 3))
    assert (liver.segmented_property_type.value, liver.segmented_property_type.scheme_designator) == ("10200004", "SCT")
    assert kidney.segmented_property_type.value == "64033007"
    (side,) = kidney.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence
    assert side.CodeMeaning == "Left"
    assert unknown.segmented_property_type.meaning == "something new"
    assert unknown.segmented_property_type.scheme_designator == "99HYBRIDSEG"
    assert segmentation.SeriesInstanceUID != "1.2.3"
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.3"


def test_different_names_have_different_codes(tmp_path: Path) -> None:
    path, _ = write(tmp_path, label_names={1: "gluteus_maximus_left", 4: "gluteus_maximus_right"})
    segmentation = hd.seg.segread(path)
    codes = [segmentation.get_segment_description(number).segmented_property_type.value for number in (1, 2)]
    assert codes == ["GLUTEUS_MAXIMUS_LEFT", "GLUTEUS_MAXIMUS_RIGHT"]


def test_names_in_any_script_are_written(tmp_path: Path) -> None:
    import pydicom

    files = write_series(tmp_path / "ct")
    for file in files:
        source = pydicom.dcmread(file)
        source.SpecificCharacterSet, source.PatientName = "ISO_IR 100", "Müller^Jörg"
        source.save_as(file)
    write_segmentation(
        LABELS, list(map(StoredInstance, files)), tmp_path / "seg.dcm", **{**ABOUT, "label_names": {1: "肝臓"}}
    )
    segmentation = hd.seg.segread(tmp_path / "seg.dcm")
    assert segmentation.get_segment_description(1).segment_label == "肝臓"
    assert str(segmentation.PatientName) == "Müller^Jörg"


def test_codes_of_the_bundle_are_used(tmp_path: Path) -> None:
    codes = {1: {"type": ("5366008", "SCT", "Hippocampus"), "modifier": ("255549009", "SCT", "Anterior")}}
    path, _ = write(tmp_path, codes=codes)
    described = hd.seg.segread(path).get_segment_description(1)
    assert described.segmented_property_type.meaning == "Hippocampus"
    (modifier,) = described.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence
    assert modifier.CodeMeaning == "Anterior"
    assert described.segmented_property_category.meaning == "Anatomical Structure"


def test_codes_can_have_another_category(tmp_path: Path) -> None:
    from pydicom.sr.codedict import codes

    edema = read_json(bundle_path("brain_tumour_mri_segmentation") / "configs" / "inference.json")["label_codes"]["1"]
    path, _ = write(tmp_path, codes={1: edema})
    described = hd.seg.segread(path).get_segment_description(1)
    assert described.segmented_property_type == codes.SCT.Edema
    assert described.segmented_property_category == codes.SCT.MorphologicallyAbnormalStructure


def test_without_labels_nothing_is_written(tmp_path: Path) -> None:
    path, _ = write(tmp_path, label_names={9: "spleen"})
    assert not path.exists()


def test_without_labels_an_old_file_is_removed(tmp_path: Path) -> None:
    path, files = write(tmp_path)
    assert path.exists()
    write_segmentation(np.zeros_like(LABELS), list(map(StoredInstance, files)), path, **ABOUT)
    assert not path.exists()


def test_wrong_grid_and_unwritable_path_are_errors(tmp_path: Path) -> None:
    instances = list(map(StoredInstance, write(tmp_path)[1]))
    with pytest.raises(ValueError, match=r"labels: shape \(9, 7, 4\): must have one slice for each of 5 files"):
        write_segmentation(LABELS[:, :, 1:], instances, tmp_path / "other.dcm", **ABOUT)
    (tmp_path / "folder.dcm").mkdir()
    with pytest.raises(VolumeError, match=r"folder.dcm: .*: the segmentation must be writable there"):
        write_segmentation(LABELS, instances, tmp_path / "folder.dcm", **ABOUT)


def test_missing_uids_of_an_anonymised_series_are_generated(data_dir: Path, tmp_path: Path) -> None:
    """The real series has empty UIDs; two segmentations of it must still belong to the same study."""
    with open_series(data_dir / "torso" / "dicom") as series:
        labels = np.zeros(series.header.shape, np.uint8)
        labels[100:300, 200:260, 3:9] = 1
        for name in ("one", "two"):
            write_segmentation(labels, series.instances, tmp_path / f"{name}.dcm", **ABOUT)
        one, two = (hd.seg.segread(tmp_path / f"{name}.dcm") for name in ("one", "two"))
        assert one.StudyInstanceUID == two.StudyInstanceUID != ""
        assert one.SOPInstanceUID != two.SOPInstanceUID
        masks = read_back(tmp_path / "one.dcm", series.files, labels.shape)
    np.testing.assert_array_equal(masks["liver"], labels == 1)
