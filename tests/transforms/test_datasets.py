"""Labelled cases of a dataset folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from hybridseg.transforms import LoadVolumed, VolumeError, open_dataset, read_dataset

from .volume_files import AFFINE, VOXELS, write_nifti


def make_dataset(folder: Path, images: list[str], labels: list[str], listing: Any = None) -> Path:
    """Empty files, and the list `training` of dataset.json if there is one."""
    for name, files in (("imagesTr", images), ("labelsTr", labels)):
        (folder / name).mkdir(parents=True)
        for file in files:
            (folder / name / file).touch()
    if listing is not None:
        (folder / "dataset.json").write_text(listing if isinstance(listing, str) else json.dumps(listing))
    return folder


def file_name(path: str | list[str]) -> str:
    assert isinstance(path, str)
    return Path(path).name


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
    assert [(file_name(case["image"]), file_name(case["label"])) for case in read_dataset(tmp_path / "set")] == [
        ("a.nii.gz", "a.nii.gz"),
        ("b.nrrd", "b.nii.gz"),
    ]


def test_leftovers_of_macos_in_the_list_are_no_cases(tmp_path: Path) -> None:
    make_dataset(tmp_path / "set", ["a.nii.gz"], ["a.nii.gz"], {"training": [entry("a.nii.gz"), entry("._a.nii.gz")]})
    assert [case["case"] for case in read_dataset(tmp_path / "set")] == ["a"]


A = ["a.nii.gz"]
NNUNET_1 = {"training": [entry("b.nii.gz"), entry("a.nii.gz")]}  # lists what is there as a_0000.nii.gz
REGIONS = {"whole": (1, 2, 3), "core": (2, 3)}


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
    dataset = open_dataset(data_dir / "Task04_Hippocampus")
    assert (dataset.layout, dataset.channel_names) == ("decathlon", ("MRI",))
    assert dataset.label_names == {1: "Anterior", 2: "Posterior"}
    assert dataset.regions == {}
    assert len(dataset.cases) == 200
    assert len({case["case"] for case in dataset.cases}) == 200
    assert all(isinstance(case["image"], str) and Path(case["image"]).is_file() for case in dataset.cases)
    assert all(Path(case["label"]).is_file() for case in dataset.cases)


# What the channels and labels are called


@pytest.mark.parametrize(
    ("labels", "names", "regions"),
    [
        ({"0": "background", "1": "liver", "2": "tumour"}, {1: "liver", 2: "tumour"}, {}),
        ({"background": 0, "tumour": 2, "liver": 1}, {1: "liver", 2: "tumour"}, {}),
        ({"background": "0", "liver": "1"}, {1: "liver"}, {}),
        ({"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}, {3: "enhancing"}, REGIONS),
    ],
)
def test_labels_are_read_in_either_way(tmp_path: Path, labels: Any, names: Any, regions: Any) -> None:
    make_dataset(tmp_path / "set", A, A, {"labels": labels})
    dataset = open_dataset(tmp_path / "set")
    assert dataset.label_names == names
    assert dataset.regions == regions
    assert dataset.label_values == tuple(sorted({*names, *(label for part in regions.values() for label in part)}))


def test_without_dataset_json_nothing_has_a_name(tmp_path: Path) -> None:
    dataset = open_dataset(make_dataset(tmp_path / "set", A, A))
    assert (dataset.layout, dataset.channel_names, dataset.label_names) == ("pairs", ("image",), {})
    assert dataset.label_values is None


@pytest.mark.parametrize(
    ("listing", "message"),
    [
        ({"labels": ["liver"]}, r"dataset.json: labels: \['liver'\]: must be an object such as"),
        ({"labels": {"liver": 1.5}}, r"labels: liver: 1.5: must be an integer from 0 to 65535"),
        ({"labels": {"liver": True}}, r"labels: liver: True: must be an integer"),
        ({"labels": {"70000": "liver"}}, r"labels: liver: 70000: must be an integer from 0 to 65535"),
        ({"labels": {"both": [0, 1]}}, r"labels: both: 0: must be an integer from 1"),
        ({"labels": {"none": []}}, r"labels: none: \[\]: a region must have at least one label"),
        ({"labels": {"a": 1, "b": 1}}, r"labels: 1 is 'a' and 'b': a label must have one name"),
        ({"labels": {"a": 1, "ignore": 2}}, r"labels: ignore: 2: every voxel must be labelled"),
        ({"modality": "CT"}, r"modality: CT: must name the channels from 0"),
        ({"modality": {"1": "CT"}}, r"modality: .*: must name the channels from 0"),
        ({"modality": {}}, r"modality: {}: must name the channels from 0"),
    ],
)
def test_names_that_cannot_be_understood_are_refused(tmp_path: Path, listing: Any, message: str) -> None:
    make_dataset(tmp_path / "set", A, A, listing)
    with pytest.raises(VolumeError, match=message):
        open_dataset(tmp_path / "set")
    assert len(read_dataset(tmp_path / "set")) == 1  # names do not matter to those who have their own


# nnU-Net's layout, and pairs


def nnunet(channels: int = 1, **more: Any) -> dict[str, Any]:
    names = {str(index): f"T{index}" for index in range(channels)}
    return {"channel_names": names, "labels": {"background": 0, "liver": 1}, "file_ending": ".nii.gz", **more}


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


def test_a_single_channel_is_not_part_of_the_case_name(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "set", ["a_0000.nrrd"], ["a.nrrd"], nnunet(file_ending=".nrrd"))
    (case,) = read_dataset(folder)
    assert case == {
        "case": "a",
        "image": str(folder / "imagesTr" / "a_0000.nrrd"),
        "label": str(folder / "labelsTr" / "a.nrrd"),
    }


def test_version_1_of_nnunet_lists_cases_instead_of_files(tmp_path: Path) -> None:
    listing = {"modality": {"0": "CT", "1": "PET"}, "labels": {"0": "background"}, "training": [entry("a.nii.gz")]}
    dataset = open_dataset(make_dataset(tmp_path / "set", ["a_0000.nii.gz", "a_0001.nii.gz"], A, listing))
    assert (dataset.layout, dataset.channel_names) == ("nnunet", ("CT", "PET"))
    assert [(case["case"], len(case["image"])) for case in dataset.cases] == [("a", 2)]


def test_decathlon_names_that_look_like_channels_are_names(tmp_path: Path) -> None:
    name = "patient_0000.nii.gz"
    dataset = open_dataset(make_dataset(tmp_path / "set", [name], [name], {"training": [entry(name)]}))
    assert (dataset.layout, dataset.cases[0]["case"]) == ("decathlon", "patient_0000")


def test_nnunet_cases_may_lie_elsewhere(tmp_path: Path) -> None:
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
        (["a_0001.nii.gz"], A, nnunet(), r"a_0001.nii.gz: channel 0001: dataset.json names 1, the last being 0000"),
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
def test_nothing_of_nnunet_is_left_out_silently(
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
def test_a_case_that_lacks_a_file_is_a_fault_of_that_case(
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
    assert dataset.faults.keys() == lacking.keys()
    for case, file in lacking.items():
        assert dataset.faults[case].startswith(str(folder / file))
        assert "does not exist: a case needs files of its label and of every channel" in dataset.faults[case]
    assert read_dataset(folder) == list(dataset.cases)
    assert f"{len(lacking)} of {1 + len(lacking)} cases left out, which lack a file: {folder}" in caplog.text


def test_cases_of_every_layout_can_be_loaded(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "set", [], [], nnunet(2))
    for path in ("imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz"):
        write_nifti(folder / path)
    write_nifti(folder / "labelsTr" / "a.nii.gz", (VOXELS > 0).astype("uint8"), AFFINE)
    (case,) = read_dataset(folder)
    loaded = LoadVolumed(("image", "label"), channels=2)({"image": case["image"], "label": case["label"]})
    assert (loaded["image"].shape, loaded["label"].shape) == ((2, *VOXELS.shape), (1, *VOXELS.shape))
