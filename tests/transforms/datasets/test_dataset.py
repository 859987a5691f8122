"""Labelled cases of a dataset folder: all are found, or the missing files are reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hybridseg.transforms import LoadVolumed, VolumeError, open_dataset, read_dataset

from ..io.volume_files import AFFINE, VOXELS, write_nifti
from .dataset_folders import A, entry, make_dataset, nnunet

NNUNET_1 = {"training": [entry("b.nii.gz"), entry("a.nii.gz")]}  # the file is a_0000.nii.gz


def test_listed_cases_have_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["b.nii.gz", "a.1.nii.gz", "unlisted.nii.gz"]
    make_dataset(tmp_path / "set", names, names, {"training": [entry("b.nii.gz"), entry("a.1.nii.gz")]})
    monkeypatch.chdir(tmp_path)
    assert read_dataset("set") == [
        {
            "case": case,
            "image": str(tmp_path / "set" / "imagesTr" / f"{case}.nii.gz"),
            "label": str(tmp_path / "set" / "labelsTr" / f"{case}.nii.gz"),
        }
        for case in ("a.1", "b")
    ]


def test_macos_files_in_the_list_are_ignored(tmp_path: Path) -> None:
    make_dataset(tmp_path / "set", ["a.nii.gz"], ["a.nii.gz"], {"training": [entry("a.nii.gz"), entry("._a.nii.gz")]})
    assert [case["case"] for case in read_dataset(tmp_path / "set")] == ["a"]


@pytest.mark.parametrize(
    ("images", "labels", "listing", "message"),
    [
        ([], [], None, r"no labelled cases: must hold imagesTr and labelsTr"),
        (A, [], None, r"set: none of 1 cases has all its files: .*labelsTr.a.nii.gz: does not exist: a case needs"),
        ([], A, None, r"set: none of 1 cases has all its files: .*imagesTr.a.nii.gz: does not exist"),
        (["a_0000.nii.gz"], A, None, r"a_0000.nii.gz: a channel of a by its name: dataset.json must name the channels"),
        (["a.nii", "a.mha"], A, None, r"a.nii: case name 'a'"),
        ([], A, {"training": [entry("a.nii.gz")]}, r"imagesTr.a.nii.gz: does not exist"),
        (A, [], {"training": [entry("a.nii.gz")]}, r"labelsTr.a.nii.gz: does not exist"),
        ([], A, {"training": [entry("a.nii.gz") | {"image": "imagesTr"}]}, r"imagesTr: is a folder: a case needs"),
        (A, A, {"training": [entry("a.nii.gz")] * 2}, r"case name 'a'"),
        (A, A, {"training": 3}, r"dataset.json: training: int: must be a list"),
        (A, A, [], r"dataset.json: training: NoneType: must be a list"),
        (A, A, {"training": [{"image": "./imagesTr/a.nii.gz"}]}, r"each entry must name an image and a label"),
        (A, A, {"training": ["a"]}, r"training: a: each entry must name"),
        (A, A, "{", r"dataset.json: .*: must be a JSON file"),
    ],
)
def test_incomplete_datasets_are_errors(
    tmp_path: Path, images: list[str], labels: list[str], listing: Any, message: str
) -> None:
    make_dataset(tmp_path / "set", images, labels, listing)
    with pytest.raises(VolumeError, match=message):
        read_dataset(tmp_path / "set")


def test_missing_folders_are_errors(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match=r"nowhere: not a folder: must be a folder in Medical Segmentation Decathlon"):
        read_dataset(tmp_path / "nowhere")
    (tmp_path / "imagesTr").mkdir()
    with pytest.raises(VolumeError, match=r"labelsTr: No such file or directory: must be a folder"):
        read_dataset(tmp_path)


def test_hippocampus_is_read(data_dir: Path) -> None:
    dataset = open_dataset(data_dir / "Task04_Hippocampus")
    assert (dataset.layout, dataset.channel_names) == ("decathlon", ("MRI",))
    assert dataset.label_names == {1: "Anterior", 2: "Posterior"}
    assert dataset.regions == {}
    assert len(dataset.cases) == 200
    assert len({case["case"] for case in dataset.cases}) == 200
    assert all(isinstance(case["image"], str) and Path(case["image"]).is_file() for case in dataset.cases)
    assert all(Path(case["label"]).is_file() for case in dataset.cases)


@pytest.mark.parametrize(
    ("images", "labels", "listing", "lacking"),
    [
        (["a.nrrd", "b.nrrd"], ["a.nii"], None, {"b": "labelsTr/b.nrrd"}),
        (A, ["a.nii", "b.nii"], None, {"b": "imagesTr/b.nii"}),
        (A, A, {"training": [entry(f"{case}.nii.gz") for case in "abc"]}, dict.fromkeys("bc", "imagesTr/")),
        (["a_0000.nii.gz", "a_0001.nii.gz", "b_0001.nii.gz"], A, nnunet(2), {"b": "imagesTr/b_0000.nii.gz"}),
        (["a_0000.NII.GZ"], ["a.NII.gz", "b.nii.gz"], nnunet(), {"b": "imagesTr/b_0000.nii.gz"}),
        (["a_0000.nii.gz"], ["a.nii.gz", "b.nii.gz"], NNUNET_1, {"b": "imagesTr/b_0000.nii.gz"}),
    ],
)
def test_case_with_a_missing_file_is_reported(
    tmp_path: Path,
    images: list[str],
    labels: list[str],
    listing: Any,
    lacking: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = make_dataset(tmp_path / "set", images, labels, listing)
    dataset = open_dataset(folder)
    assert [case["case"] for case in dataset.cases] == ["a"]
    assert dataset.problems.keys() == lacking.keys()
    for case, file in lacking.items():
        assert dataset.problems[case].startswith(str(folder / file))
        assert "does not exist: a case needs a label and every channel" in dataset.problems[case]
    assert read_dataset(folder) == list(dataset.cases)
    assert f"{len(lacking)} of {1 + len(lacking)} cases skipped, since files are missing: {folder}" in caplog.text


def test_nnunet_case_can_be_loaded(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "set", [], [], nnunet(2))
    for path in ("imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz"):
        write_nifti(folder / path)
    write_nifti(folder / "labelsTr" / "a.nii.gz", (VOXELS > 0).astype("uint8"), AFFINE)
    (case,) = read_dataset(folder)
    loaded = LoadVolumed(("image", "label"), channels=2)({"image": case["image"], "label": case["label"]})
    assert (loaded["image"].shape, loaded["label"].shape) == ((2, *VOXELS.shape), (1, *VOXELS.shape))
