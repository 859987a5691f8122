"""Labelled cases of a dataset folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from hybridseg.transforms import VolumeError, read_dataset


def make_dataset(folder: Path, images: list[str], labels: list[str], listing: Any = None) -> Path:
    """Empty files, and the list `training` of dataset.json if there is one."""
    for name, files in (("imagesTr", images), ("labelsTr", labels)):
        (folder / name).mkdir(parents=True)
        for file in files:
            (folder / name / file).touch()
    if listing is not None:
        (folder / "dataset.json").write_text(listing if isinstance(listing, str) else json.dumps(listing))
    return folder


def entry(name: str) -> dict[str, str]:
    return {"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"}


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


@pytest.mark.parametrize("listing", [None, {"name": "no list"}, {"training": []}])
def test_without_a_list_equal_names_are_pairs(tmp_path: Path, listing: Any) -> None:
    make_dataset(
        tmp_path / "set", ["a.nii.gz", "b.nrrd", "._a.nii.gz"], ["b.nii.gz", "a.nii.gz", "._b.nii.gz"], listing
    )
    assert [(Path(case["image"]).name, Path(case["label"]).name) for case in read_dataset(tmp_path / "set")] == [
        ("a.nii.gz", "a.nii.gz"),
        ("b.nrrd", "b.nii.gz"),
    ]


def test_leftovers_of_macos_in_the_list_are_no_cases(tmp_path: Path) -> None:
    make_dataset(tmp_path / "set", ["a.nii.gz"], ["a.nii.gz"], {"training": [entry("a.nii.gz"), entry("._a.nii.gz")]})
    assert [case["case"] for case in read_dataset(tmp_path / "set")] == ["a"]


A = ["a.nii.gz"]


@pytest.mark.parametrize(
    ("images", "labels", "listing", "message"),
    [
        ([], [], None, r"no labelled cases: must hold imagesTr and labelsTr"),
        (A, [], None, r"imagesTr.a.nii.gz: no label: labelsTr must hold a file named a"),
        ([], A, None, r"labelsTr.a.nii.gz: no image: imagesTr must hold a file named a"),
        (["a.nii", "a.mha"], A, None, r"a.nii: case name 'a'"),
        ([], A, {"training": [entry("a.nii.gz")]}, r"imagesTr.a.nii.gz: does not exist"),
        (A, [], {"training": [entry("a.nii.gz")]}, r"labelsTr.a.nii.gz: does not exist"),
        (A, A, {"training": [entry("a.nii.gz")] * 2}, r"case name 'a'"),
        (A, A, {"training": 3}, r"dataset.json: training: int: must be a list"),
        (A, A, [], r"dataset.json: training: NoneType: must be a list"),
        (A, A, {"training": [{"image": "./imagesTr/a.nii.gz"}]}, r"each entry must name an image and a label"),
        (A, A, {"training": ["a"]}, r"training: a: each entry must name"),
        (A, A, "{", r"dataset.json: .*: must be a JSON file"),
    ],
)
def test_nothing_is_left_out_silently(
    tmp_path: Path, images: list[str], labels: list[str], listing: Any, message: str
) -> None:
    make_dataset(tmp_path / "set", images, labels, listing)
    with pytest.raises(VolumeError, match=message):
        read_dataset(tmp_path / "set")


def test_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match=r"nowhere: not a folder: must be a folder in Medical Segmentation Decathlon"):
        read_dataset(tmp_path / "nowhere")
    (tmp_path / "imagesTr").mkdir()
    with pytest.raises(VolumeError, match=r"labelsTr: No such file or directory: must be a folder"):
        read_dataset(tmp_path)


def test_hippocampus(data_dir: Path) -> None:
    cases = read_dataset(data_dir / "Task04_Hippocampus")
    assert len(cases) == 200
    assert len({case["case"] for case in cases}) == 200
    assert all(Path(case["image"]).is_file() and Path(case["label"]).is_file() for case in cases)
