"""Series and masks of an export are found together, whichever folders they are in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hybridseg.transforms import VolumeError, open_dataset, read_dataset
from hybridseg.transforms.io.dicom import DicomFolder
from hybridseg.transforms.io.masks import MaskFile

from ..io.dicom.dicom_files import write_series
from ..io.masks.mask_files import write_rtstruct

TRIANGLE = [[0, 0, 0], [9, 0, 0], [0, 9, 0]]
ROIS = {"GTV*": 1}


def write_image(folder: Path, series: str, modality: str = "CT", frame: str = "1.2.9", start: int = 0) -> Path:
    tags = {"0020|000e": series, "0008|0060": modality, "0020|0052": frame}
    write_series(folder, tags=tags, start=start)
    return folder


def write_mask(path: Path, series: str, frame: str = "1.2.9") -> Path:
    return write_rtstruct(path, {"GTV_1": [TRIANGLE]}, series=series, frame_of_reference=frame)


def test_masks_beside_or_below_belong_to_what_they_reference(tmp_path: Path) -> None:
    for number, patient in enumerate(("a", "b")):
        write_image(tmp_path / patient / "CT", f"1.{number}")
        write_image(tmp_path / patient / "PET" / "image", f"2.{number}", "PT", start=9)
        write_mask(tmp_path / patient / "RS.dcm", f"1.{number}")
    write_mask(tmp_path / "b" / "PET" / "mask" / "RS.dcm", "2.1")
    dataset = open_dataset(tmp_path, rois=ROIS, channels=["CT"])
    assert (dataset.layout, dataset.channel_names, dataset.label_names) == ("dicom", ("CT",), {1: "GTV"})
    assert list(dataset.cases) == [
        {
            "case": f"{patient}_CT",
            "image": str(tmp_path / patient / "CT"),
            "label": MaskFile(tmp_path / patient / "RS.dcm", ROIS),
        }
        for patient in ("a", "b")
    ]
    assert [case["case"] for case in read_dataset(tmp_path)] == ["a_CT", "b_CT", "b_PET_image"]
    with pytest.raises(ValueError, match=r"channels: series of CT, PT have masks: name the channels to read"):
        open_dataset(tmp_path)


def test_all_files_of_a_patient_may_be_in_one_folder(tmp_path: Path) -> None:
    write_image(tmp_path / "a", "1.1")
    write_image(tmp_path / "a", "2.1", "PT", start=20)
    write_mask(tmp_path / "a" / "RS.dcm", "1.1")
    dataset = open_dataset(tmp_path, rois=ROIS)
    assert dataset.channel_names == ("CT",)
    (case,) = dataset.cases
    assert (case["case"], case["image"]) == ("a_CT", DicomFolder(tmp_path / "a", "1.1"))


def test_channels_of_a_patient_share_a_frame_of_reference(tmp_path: Path) -> None:
    listing = {"channel_names": {"0": "CT", "1": "FDG-PET"}, "rois": ROIS, "labels": {"background": 0, "tumour": 1}}
    (tmp_path / "dataset.json").write_text(json.dumps(listing))
    for patient, frame in (("a", "1.2.9"), ("b", "1.2.8")):
        write_image(tmp_path / patient / "ct", f"1.{frame}", frame=frame)
        write_mask(tmp_path / patient / "RS.dcm", f"1.{frame}", frame=frame)
    write_image(tmp_path / "a" / "pet", "2.1", "PT")
    dataset = open_dataset(tmp_path)
    (case,) = dataset.cases
    assert (case["case"], case["image"]) == ("a_ct", [str(tmp_path / "a" / "ct"), str(tmp_path / "a" / "pet")])
    assert "b_ct" in dataset.problems
    assert "no single PT series in its frame of reference: must have one series for each" in dataset.problems["b_ct"]


def test_channels_may_be_named_where_each_series_has_a_mask(tmp_path: Path) -> None:
    for number, (name, modality) in enumerate({"ct": "CT", "mr": "MR", "pet": "PT"}.items()):
        write_image(tmp_path / "a" / name / "image", f"1.{number}", modality)
        write_mask(tmp_path / "a" / name / "mask" / "RS.dcm", f"1.{number}")
    channels = ["CT", "PET"]
    dataset = open_dataset(tmp_path, rois=ROIS, channels=channels)
    (case,) = dataset.cases
    assert dataset.channel_names == ("CT", "PET")
    assert case["case"] == "a_ct_image"
    assert case["image"] == [str(tmp_path / "a" / name / "image") for name in ("ct", "pet")]
    assert read_dataset(tmp_path, rois=ROIS, channels=channels) == [case]
    assert len(read_dataset(tmp_path, rois=ROIS)) == 3


def test_a_mask_of_an_anonymised_series_is_found_by_its_frame(tmp_path: Path) -> None:
    write_image(tmp_path / "ct", "9.9.9")
    write_mask(tmp_path / "RS.dcm", "1.1")
    assert [case["case"] for case in read_dataset(tmp_path, rois=ROIS)] == ["ct"]


def test_masks_without_a_series_or_beside_another_are_problems(tmp_path: Path) -> None:
    write_image(tmp_path / "a", "1.1")
    write_image(tmp_path / "c", "1.3", frame="1.2.7")
    for name, series, frame in (
        ("a1", "1.1", "1.2.9"),
        ("a2", "1.1", "1.2.9"),
        ("b", "1.2", "1.2.6"),
        ("c", "1.3", "1.2.7"),
    ):
        write_mask(tmp_path / f"{name}.dcm", series, frame)
    (tmp_path / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM")
    dataset = open_dataset(tmp_path, rois=ROIS)
    assert [case["case"] for case in dataset.cases] == ["c"]
    assert set(dataset.problems) == {"a", "b", "broken"}
    assert "a2.dcm: a second mask of the series in" in dataset.problems["a"]
    assert "b.dcm: no image series for this mask: the series that it references" in dataset.problems["b"]


def test_listed_cases_may_be_dicom_folders(tmp_path: Path) -> None:
    entries = []
    for patient in ("a", "b"):
        write_image(tmp_path / patient / "CT", "1.1")
        write_mask(tmp_path / patient / "RS.dcm", "1.1")
        entries.append({"image": f"./{patient}/CT", "label": f"{patient}/RS.dcm"})
    (tmp_path / "dataset.json").write_text(json.dumps({"modality": {"0": "CT"}, "rois": ROIS, "training": entries}))
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, dataset.modalities, dataset.rois) == ("decathlon", ("CT",), ROIS)
    assert [(case["case"], case["label"]) for case in dataset.cases] == [
        (f"{patient}_CT", MaskFile(tmp_path / patient / "RS.dcm", ROIS)) for patient in ("a", "b")
    ]


def test_invalid_rois_of_a_listing_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps({"rois": {"GTV": "tumour"}}))
    write_image(tmp_path / "ct", "1.1")
    with pytest.raises(VolumeError, match=r"dataset.json: rois: 'GTV': 'tumour': must be a label from 1"):
        open_dataset(tmp_path)


def test_segmentations_of_slicer_pair_with_images(tmp_path: Path) -> None:
    for name in ("images/a.nii.gz", "labels/a.seg.nrrd"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (case,) = read_dataset(tmp_path, rois=ROIS)
    assert (case["case"], case["label"]) == ("a", MaskFile(tmp_path / "labels" / "a.seg.nrrd", ROIS))
    (case,) = read_dataset(tmp_path)  # the numbers are its labels
    assert case["label"] == str(tmp_path / "labels" / "a.seg.nrrd")


def test_cases_of_the_real_export_are_found(data_dir: Path) -> None:
    dataset = open_dataset(data_dir / "sarcoma_dicom", rois=ROIS, channels=["CT"])
    assert [case["case"] for case in dataset.cases] == [f"STS_{number}_CT_image" for number in ("002", "032", "048")]
    assert not dataset.problems
