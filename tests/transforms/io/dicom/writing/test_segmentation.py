"""A DICOM SEG gives the same labels in the same place when read back, whatever the series is like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes
from pydicom.uid import EnhancedCTImageStorage

from hybridseg.bundles import bundle_path
from hybridseg.transforms import VolumeError
from hybridseg.transforms.io.dicom import DicomSeries, open_series, write_segmentation
from hybridseg.transforms.io.json_files import read_json
from hybridseg.transforms.structures import describe_structures

from ..dicom_files import write_series
from .derived_files import KINDS, LABELS, NAMES, classic, standard_errors, with_values

hd = pytest.importorskip("highdicom", reason="needs the extra `dicom`")

ABOUT = {"algorithm": "HybridSeg test", "version": "1.2"}


def read_back(path: Path, series: DicomSeries) -> dict[str, np.ndarray]:
    """Return each segment as a mask (columns, rows, slices), from the slices that its frames refer to."""
    segmentation = hd.seg.segread(path)
    order = {}
    for index, part in enumerate(series.slices):
        with part.stored.open() as stream:
            source = pydicom.dcmread(stream, stop_before_pixels=True)
        uid = source.get("SOPInstanceUID") or source.file_meta.MediaStorageSOPInstanceUID
        order[str(uid), part.frame] = index
    shape = (*series.slices[0].shape, len(series.slices))
    masks = {
        segmentation.get_segment_description(number).segment_label: np.zeros(shape, bool)
        for number in segmentation.segment_numbers
    }
    for frame, groups in zip(segmentation.pixel_array, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        shared = segmentation.SharedFunctionalGroupsSequence[0]  # if there is only one segment
        (identified,) = (groups if "SegmentIdentificationSequence" in groups else shared).SegmentIdentificationSequence
        (source,) = groups.DerivationImageSequence[0].SourceImageSequence
        index = order[str(source.ReferencedSOPInstanceUID), source.get("ReferencedFrameNumber")]
        name = segmentation.get_segment_description(identified.ReferencedSegmentNumber).segment_label
        masks[name][:, :, index] = frame.T
        position = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        np.testing.assert_allclose(position, series.slices[index].position, atol=1e-4)
    return masks


def write(
    folder: Path,
    kind: Callable[[Path], Path] = KINDS["CT"],
    names: Mapping[int, str] = NAMES,
    label_codes: Mapping[int, Any] | None = None,
) -> tuple[Any, list[str]]:
    """Write a series and its labels; return the segmentation, or None if there is none, and the notes."""
    with open_series(kind(folder / "series")) as series:
        labels = series.labels_on_slices(LABELS)
        path = folder / "out" / "seg.dcm"
        notes = write_segmentation(labels, series, path, describe_structures(names, label_codes), **ABOUT)
    return hd.seg.segread(path) if path.exists() else None, notes


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_labels_of_any_series_are_read_back_in_place(kind: Callable[[Path], Path], tmp_path: Path) -> None:
    with open_series(kind(tmp_path / "series")) as series:
        upright = np.zeros(series.header.shape, np.uint8)
        upright[: LABELS.shape[0], -LABELS.shape[1] :] = LABELS
        labels = series.labels_on_slices(upright)
        write_segmentation(labels, series, tmp_path / "seg.dcm", describe_structures(NAMES), **ABOUT)
        masks = read_back(tmp_path / "seg.dcm", series)
    assert masks.keys() == {name for label, name in NAMES.items() if (labels == label).any()}
    for label, name in NAMES.items():
        if name in masks:
            np.testing.assert_array_equal(masks[name], label == labels)
    assert standard_errors(tmp_path / "seg.dcm") == []


@pytest.mark.parametrize("name", ["StudyDate", "StudyTime", "PatientBirthDate", "PatientSex", "SeriesNumber"])
def test_invalid_value_is_replaced_and_named_without_it(name: str, tmp_path: Path) -> None:
    segmentation, notes = write(tmp_path, classic(with_values(**{name: "Jane's"})))
    (note,) = notes
    assert note.startswith(f"{name} is not valid: ")
    assert "Jane" not in note
    assert segmentation.get(name) in ("", None, 1000)


def test_labels_are_coded_and_coloured(tmp_path: Path) -> None:
    segmentation, _ = write(tmp_path)
    liver, kidney, unknown = (segmentation.get_segment_description(number) for number in (1, 2, 3))
    assert (liver.segmented_property_type.value, liver.segmented_property_type.scheme_designator) == ("10200004", "SCT")
    assert kidney.segmented_property_type.value == "64033007"
    (side,) = kidney.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence
    assert side.CodeMeaning == "Left"
    assert unknown.segmented_property_type.meaning == "something new"
    assert unknown.segmented_property_type.scheme_designator == "99HYBRIDSEG"
    for segment, structure in zip((liver, kidney), describe_structures(NAMES), strict=False):
        colour = hd.color.CIELabColor.from_dicom_value(tuple(segment.RecommendedDisplayCIELabValue))
        np.testing.assert_allclose(colour.to_rgb(), structure.rgb, atol=1)
    assert segmentation.SeriesInstanceUID != "1.2.3"
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.3"
    assert (segmentation.StudyInstanceUID, segmentation.FrameOfReferenceUID) == ("1.2", "1.2.8")


def test_frames_of_one_file_are_referenced_by_number(tmp_path: Path) -> None:
    segmentation, _ = write(tmp_path, KINDS["enhanced CT"])
    (referenced,) = segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert referenced.ReferencedSOPClassUID == EnhancedCTImageStorage


def test_different_names_have_different_codes(tmp_path: Path) -> None:
    segmentation, _ = write(tmp_path, names={1: "gluteus_maximus_left", 4: "gluteus_maximus_right"})
    values = [segmentation.get_segment_description(number).segmented_property_type.value for number in (1, 2)]
    assert values == ["GLUTEUS_MAXIMUS_LEFT", "GLUTEUS_MAXIMUS_RIGHT"]


def test_names_in_any_script_are_written(tmp_path: Path) -> None:
    def in_latin_1(dataset: Any, index: int) -> None:
        dataset.SpecificCharacterSet, dataset.PatientName = "ISO_IR 100", "Müller^Jörg"

    segmentation, _ = write(tmp_path, classic(in_latin_1), names={1: "肝臓"})
    assert segmentation.get_segment_description(1).segment_label == "肝臓"
    assert str(segmentation.PatientName) == "Müller^Jörg"


def test_codes_of_the_bundle_are_used(tmp_path: Path) -> None:
    given = {1: {"type": ("5366008", "SCT", "Hippocampus"), "modifier": ("255549009", "SCT", "Anterior")}}
    described = write(tmp_path, label_codes=given)[0].get_segment_description(1)
    assert described.segmented_property_type.meaning == "Hippocampus"
    (modifier,) = described.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence
    assert modifier.CodeMeaning == "Anterior"
    assert described.segmented_property_category.meaning == "Anatomical Structure"


def test_codes_can_have_another_category(tmp_path: Path) -> None:
    edema = read_json(bundle_path("brain_tumour_mri_segmentation") / "configs" / "inference.json")["label_codes"]["1"]
    described = write(tmp_path, label_codes={1: edema})[0].get_segment_description(1)
    assert described.segmented_property_type == codes.SCT.Edema
    assert described.segmented_property_category == codes.SCT.MorphologicallyAbnormalStructure


def test_without_labels_nothing_is_written_and_an_old_file_removed(tmp_path: Path) -> None:
    assert write(tmp_path, names={9: "spleen"}) == (None, [])
    assert write(tmp_path)[0] is not None
    assert write(tmp_path, names={9: "spleen"}) == (None, [])


def test_wrong_grid_and_unwritable_path_are_errors(tmp_path: Path) -> None:
    structures = describe_structures(NAMES)
    (tmp_path / "folder.dcm").mkdir()
    with open_series(KINDS["CT"](tmp_path / "series")) as series:
        with pytest.raises(ValueError, match=r"labels: shape \(9, 7, 4\): must be \(9, 7, 5\), one slice for each of "):
            write_segmentation(LABELS[:, :, 1:], series, tmp_path / "other.dcm", structures, **ABOUT)
        with pytest.raises(VolumeError, match=r"folder.dcm: .*: the segmentation must be writable there"):
            write_segmentation(LABELS, series, tmp_path / "folder.dcm", structures, **ABOUT)


def test_missing_uids_of_an_anonymised_series_are_generated(data_dir: Path, tmp_path: Path) -> None:
    """The real series has empty UIDs; two segmentations of it must still belong to the same study."""
    with open_series(data_dir / "torso" / "dicom") as series:
        labels = np.zeros(series.header.shape, np.uint8)
        labels[100:300, 200:260, 3:9] = 1
        for name in ("one", "two"):
            write_segmentation(labels, series, tmp_path / f"{name}.dcm", describe_structures(NAMES), **ABOUT)
        one, two = (hd.seg.segread(tmp_path / f"{name}.dcm") for name in ("one", "two"))
        assert one.StudyInstanceUID == two.StudyInstanceUID != ""
        assert one.SOPInstanceUID != two.SOPInstanceUID
        masks = read_back(tmp_path / "one.dcm", series)
    np.testing.assert_array_equal(masks["liver"], labels == 1)


def test_series_of_simpleitk_without_uids_of_instances(tmp_path: Path) -> None:
    write_series(tmp_path / "ct")
    with open_series(tmp_path / "ct") as series:
        write_segmentation(LABELS, series, tmp_path / "seg.dcm", describe_structures(NAMES), **ABOUT)
        np.testing.assert_array_equal(read_back(tmp_path / "seg.dcm", series)["liver"], LABELS == 1)
