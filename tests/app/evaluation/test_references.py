"""References are found by the name of their case, in files, folders and datasets."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybridseg.app.evaluation.references import find_references
from hybridseg.transforms import VolumeError
from hybridseg.transforms.io.masks import MaskFile

from ...transforms.io.dicom.dicom_files import write_series
from ...transforms.io.masks.mask_files import write_rtstruct

ROIS = {"GTV": 1}


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_label_maps_stay_files(tmp_path: Path) -> None:
    touch(tmp_path / "a.nii.gz", tmp_path / "b.seg.nrrd")
    assert find_references(tmp_path, {}) == {"a": tmp_path / "a.nii.gz", "b": tmp_path / "b.seg.nrrd"}
    assert find_references(tmp_path, ROIS)["b"] == MaskFile(tmp_path / "b.seg.nrrd", ROIS)
    assert find_references(tmp_path / "a.nii.gz", ROIS) == {"a": tmp_path / "a.nii.gz"}


def test_a_dataset_gives_its_labels(tmp_path: Path) -> None:
    touch(tmp_path / "imagesTr" / "a.nii.gz", tmp_path / "labelsTr" / "a.nii.gz")
    (tmp_path / "dataset.json").write_text("{}")
    assert find_references(tmp_path, {}) == {"a": tmp_path / "labelsTr" / "a.nii.gz"}


def test_an_export_gives_its_masks(tmp_path: Path) -> None:
    write_series(tmp_path / "patient" / "ct")
    write_rtstruct(tmp_path / "patient" / "RS.dcm", {"GTV": []})
    assert find_references(tmp_path, ROIS) == {"patient_ct": MaskFile(tmp_path / "patient" / "RS.dcm", ROIS)}
    assert find_references(tmp_path / "patient", ROIS) == {"ct": MaskFile(tmp_path / "patient" / "RS.dcm", ROIS)}


def test_a_prediction_of_a_patient_is_that_of_its_only_series(tmp_path: Path) -> None:
    for patient, modality in (("a", "CT"), ("b", "CT"), ("b", "PT")):
        series = f"1.{ord(patient)}.{ord(modality[0])}"
        write_series(tmp_path / patient / modality, tags={"0020|000e": series, "0008|0060": modality})
        write_rtstruct(tmp_path / patient / f"{modality}.dcm", {"GTV": []}, series=series)
    masks = {name: MaskFile(tmp_path / name / "CT.dcm", ROIS) for name in ("a", "b")}
    assert find_references(tmp_path, ROIS, predicted=["a", "b"], modality="CT") == masks
    assert set(find_references(tmp_path, ROIS, predicted=["a", "b"])) == {"a", "b_CT", "b_PT"}
    assert find_references(tmp_path / "a", ROIS, predicted=["a"]) == {"a": masks["a"]}


def test_masks_alone_are_named_for_their_cases(tmp_path: Path) -> None:
    write_rtstruct(tmp_path / "a.dcm", {"GTV": []})
    write_rtstruct(tmp_path / "b", {"GTV": []})
    assert find_references(tmp_path, ROIS) == {name[0]: MaskFile(tmp_path / name, ROIS) for name in ("a.dcm", "b")}


def test_a_case_may_have_one_reference(tmp_path: Path) -> None:
    touch(tmp_path / "a.nii.gz", tmp_path / "a.seg.nrrd")
    with pytest.raises(VolumeError, match=r"a.seg.nrrd: case name 'a', as .*a.nii.gz"):
        find_references(tmp_path, {})


def test_a_folder_without_references_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="no volumes: a folder must hold files"):
        find_references(tmp_path, {})
