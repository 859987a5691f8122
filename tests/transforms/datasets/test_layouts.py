"""Cases are found in the layouts of nnU-Net and the Decathlon, and in pairs of the same name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hybridseg.transforms import VolumeError, open_dataset, read_dataset

from .dataset_folders import A, entry, make_dataset, nnunet


def file_name(path: object) -> str:
    assert isinstance(path, str)
    return Path(path).name


@pytest.mark.parametrize("listing", [None, {"name": "no list"}, {"training": []}])
def test_equal_names_are_pairs_without_a_list(tmp_path: Path, listing: Any) -> None:
    make_dataset(
        tmp_path / "set", ["a.nii.gz", "b.nrrd", "._a.nii.gz"], ["b.nii.gz", "a.nii.gz", "._b.nii.gz"], listing
    )
    assert [(file_name(case["image"]), file_name(case["label"])) for case in read_dataset(tmp_path / "set")] == [
        ("a.nii.gz", "a.nii.gz"),
        ("b.nrrd", "b.nii.gz"),
    ]


def test_nnunet_channels_are_one_image(tmp_path: Path) -> None:
    images = ["b_0001.nii.gz", "a_0001.nii.gz", "a_0000.nii.gz", "b_0000.nii.gz", "._a_0000.nii.gz", "notes.nrrd"]
    folder = make_dataset(tmp_path / "set", images, ["a.nii.gz", "b.nii.gz", "a.nrrd"], nnunet(2))
    dataset = open_dataset(folder)
    assert (dataset.layout, dataset.channel_names, dataset.label_names) == ("nnunet", ("T0", "T1"), {1: "liver"})
    assert list(dataset.cases) == [
        {
            "case": name,
            "image": [str(folder / "imagesTr" / f"{name}_{channel}.nii.gz") for channel in ("0000", "0001")],
            "label": str(folder / "labelsTr" / f"{name}.nii.gz"),
        }
        for name in ("a", "b")
    ]


def test_single_channel_is_not_part_of_the_case_name(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "set", ["a_0000.nrrd"], ["a.nrrd"], nnunet(file_ending=".nrrd"))
    (case,) = read_dataset(folder)
    assert case == {
        "case": "a",
        "image": str(folder / "imagesTr" / "a_0000.nrrd"),
        "label": str(folder / "labelsTr" / "a.nrrd"),
    }


def test_nnunet_1_lists_cases_instead_of_files(tmp_path: Path) -> None:
    listing = {"modality": {"0": "CT", "1": "PET"}, "labels": {"0": "background"}, "training": [entry("a.nii.gz")]}
    dataset = open_dataset(make_dataset(tmp_path / "set", ["a_0000.nii.gz", "a_0001.nii.gz"], A, listing))
    assert (dataset.layout, dataset.channel_names) == ("nnunet", ("CT", "PET"))
    assert [(case["case"], isinstance(case["image"], list)) for case in dataset.cases] == [("a", True)]


def test_nnunet_1_uses_only_the_listed_cases(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    listing = {"modality": {"0": "CT"}, "training": [{"image": "imagesTr/a.nii.gz", "label": "labelsTr2/a.nii.gz"}]}
    folder = make_dataset(tmp_path / "set", ["a_0000.nii.gz", "b_0000.nii.gz"], ["a.nii.gz", "b.nii.gz"], listing)
    (folder / "labelsTr2").mkdir()
    (folder / "labelsTr2" / "a.nii.gz").touch()
    image, label = folder / "imagesTr" / "a_0000.nii.gz", folder / "labelsTr2" / "a.nii.gz"
    assert read_dataset(folder) == [{"case": "a", "image": str(image), "label": str(label)}]
    assert f"1 cases of {folder} are not listed in dataset.json and are ignored, such as b" in caplog.text


def test_listed_case_without_files_is_a_problem(tmp_path: Path) -> None:
    listing = {"modality": {"0": "CT"}, "training": [entry("a.nii.gz"), entry("b.nii.gz")]}
    dataset = open_dataset(make_dataset(tmp_path / "set", ["a_0000.nii.gz"], A, listing))
    assert dataset.problems.keys() == {"b"}
    assert "b_0000.nii.gz: does not exist" in dataset.problems["b"]


def test_decathlon_names_may_end_like_channels(tmp_path: Path) -> None:
    name = "patient_0000.nii.gz"
    dataset = open_dataset(make_dataset(tmp_path / "set", [name], [name], {"training": [entry(name)]}))
    assert (dataset.layout, dataset.cases[0]["case"]) == ("decathlon", "patient_0000")


def test_nnunet_cases_may_be_in_other_folders(tmp_path: Path) -> None:
    for name in ("t1.nii.gz", "t2.nii.gz", "seg.nii.gz"):
        (tmp_path / name).touch()
    listed = {"p1": {"images": [str(tmp_path / "t1.nii.gz"), "../t2.nii.gz"], "label": "../seg.nii.gz"}}
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "dataset.json").write_text(json.dumps(nnunet(2, dataset=listed)))
    files = [str(tmp_path / "t1.nii.gz"), str(tmp_path / "t2.nii.gz")]
    assert read_dataset(tmp_path / "set") == [{"case": "p1", "image": files, "label": str(tmp_path / "seg.nii.gz")}]


@pytest.mark.parametrize(
    ("images", "labels", "listing", "message"),
    [
        (["a_0000.nii.gz"], A, nnunet(2), r"imagesTr.a_0001.nii.gz: does not exist"),
        (
            ["a_0001.nii.gz"],
            A,
            nnunet(),
            r"a_0001.nii.gz: channel 0001: must be at most 0000, since dataset.json names 1",
        ),
        (["a_0000.nii.gz"], [], nnunet(), r"labelsTr.a.nii.gz: does not exist"),
        (["a_0000.nii.gz", "a_0000.NII.gz"], A, nnunet(), r"a_0000.nii.gz: channel 0000, as .*a_0000.NII.gz:"),
        ([], A, nnunet(), r"imagesTr.a_0000.nii.gz: does not exist"),
        (A, A, nnunet(), r"a.nii.gz: no channel in its name: must be named a_0000.nii.gz"),
        (A, A, nnunet(file_ending=".png"), r"file_ending: .png: must be one of .nii.gz, .nii"),
        (A, A, nnunet(dataset=[]), r"dataset: list: must be an object such as"),
        (A, A, nnunet(dataset={"a": {"images": [], "label": "b"}}), r"dataset: 'a': .*: must be an object such as"),
        (A, A, nnunet(dataset={"a": {"images": ["b"]}}), r"dataset: 'a': .*: must be an object such as"),
        (A, A, nnunet(dataset={"../a": {"images": ["b"], "label": "c"}}), r"dataset: '../a': .*: must be an object"),
        (A, A, nnunet(3, dataset={"a": {"images": ["b", "c"], "label": "d"}}), r"'a': 2 images: must be one, or one"),
        (A, A, nnunet(dataset={"a": {"images": ["b"], "label": "c"}}), r"set.b: does not exist"),
        ([], [], nnunet(), r"no labelled cases"),
    ],
)
def test_incomplete_nnunet_datasets_are_errors(
    tmp_path: Path, images: list[str], labels: list[str], listing: Any, message: str
) -> None:
    make_dataset(tmp_path / "set", images, labels, listing)
    with pytest.raises(VolumeError, match=message):
        read_dataset(tmp_path / "set")


def test_folders_called_images_and_labels_are_pairs(tmp_path: Path) -> None:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "a.nii.gz").touch()
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, [case["case"] for case in dataset.cases]) == ("pairs", ["a"])
