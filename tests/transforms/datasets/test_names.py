"""Names of channels and labels in dataset.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hybridseg.transforms import VolumeError, open_dataset, read_dataset, region_labels
from hybridseg.transforms.datasets.names import mirror_pairs, modality_of

from .dataset_folders import A, make_dataset

REGIONS = {"whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)}


@pytest.mark.parametrize(
    ("names", "modality"),
    [
        (("CT", " ct ", "CT_venous", "CECT", "CTres", "ct1", "HU"), "CT"),
        (("PET", "PT", "SUV", "FDG", "FDG-PET", "SUVbw", "pet2"), "PET"),
        (("T1", "T2w", "FLAIR", "image", "MRI", "t1ct", "contrast", "petal", "T1Gd"), "MRI"),
    ],
)
def test_modality_of_a_channel_is_known_by_its_name(names: tuple[str, ...], modality: str) -> None:
    assert {modality_of(name) for name in names} == {modality}


def test_channel_that_names_two_modalities_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"channels: 'PET/CT': must be the name of one, CT or PET"):
        modality_of("PET/CT")


@pytest.mark.parametrize(
    ("labels", "names", "regions"),
    [
        ({"0": "background", "1": "liver", "2": "tumour"}, {1: "liver", 2: "tumour"}, {}),
        ({"background": 0, "tumour": 2, "liver": 1}, {1: "liver", 2: "tumour"}, {}),
        ({"background": "0", "liver": "1"}, {1: "liver"}, {}),
        ({"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}, {3: "enhancing"}, REGIONS),
    ],
)
def test_labels_are_read_in_every_format(tmp_path: Path, labels: Any, names: Any, regions: Any) -> None:
    make_dataset(tmp_path / "set", A, A, {"labels": labels})
    dataset = open_dataset(tmp_path / "set")
    assert dataset.label_names == names
    assert dataset.regions == regions
    assert dataset.label_values == tuple(sorted({*names, *(label for part in regions.values() for label in part)}))


@pytest.mark.parametrize("regions", [{}, {"both": [1, 6]}])
def test_ignore_label_is_no_label(tmp_path: Path, regions: dict[str, Any]) -> None:
    labels = {"background": 0, "a": 1, "b": 6, **regions, "ignore": 255}
    dataset = open_dataset(make_dataset(tmp_path / "set", A, A, {"labels": labels}))
    assert (dataset.ignore_label, dataset.label_values) == (255, (1, 6))
    assert dataset.label_names == {1: "a", 6: "b"}


def test_region_is_listed_before_those_inside_it(tmp_path: Path) -> None:
    labels = {"background": 0, "enhancing": 3, "core": [2, 3], "whole": [1, 2, 3]}
    dataset = open_dataset(make_dataset(tmp_path / "set", A, A, {"labels": labels}))
    assert list(dataset.regions) == ["whole", "core", "enhancing"]


def test_class_order_says_which_label_a_region_writes(tmp_path: Path) -> None:
    labels = {"background": 0, "whole": [1, 2, 3, 4], "core": [1, 2, 3], "enhancing": 1}
    listing = {"labels": labels, "regions_class_order": [4, 3, 1]}
    dataset = open_dataset(make_dataset(tmp_path / "set", A, A, listing))
    assert region_labels(dataset.regions) == (4, 3, 1)


@pytest.mark.parametrize("modality", [{"0000": "T1", "0001": "T2"}, {"1": "T2", "0": "T1"}])  # nnUNet #946
def test_channels_may_have_the_numbers_of_files(tmp_path: Path, modality: dict[str, str]) -> None:
    make_dataset(tmp_path / "set", A, A, {"modality": modality})
    assert open_dataset(tmp_path / "set").channel_names == ("T1", "T2")


def test_without_dataset_json_there_are_no_names(tmp_path: Path) -> None:
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
        ({"labels": {"a": 1, "b": 3, "ignore": 2}}, r"labels: ignore: 2: must be the highest label, above 3"),
        ({"labels": {"a": [1, 4], "ignore": 3}}, r"labels: ignore: 3: must be the highest label, above 4"),
        ({"labels": {"a": 1, "ignore": [2]}}, r"labels: ignore: \[2\]: must be an integer"),
        ({"labels": {"a": 1, "ignore": 0}}, r"labels: ignore: 0: must be an integer from 1"),
        (
            {"labels": {"wt": [1, 2, 3], "tc": [1, 2], "et": 1}, "regions_class_order": [1, 2, 3]},
            r"regions_class_order: 1 for 'wt': must be a label of the region that no later region has: 3",
        ),
        ({"labels": {"wt": [1, 2], "et": 1}, "regions_class_order": [2]}, "must have a label for each region: wt, et"),
        ({"modality": {"0": "T1", "0000": "T2"}}, r"modality: .*: must name the channels from 0"),
        ({"modality": "CT"}, r"modality: CT: must name the channels from 0"),
        ({"modality": {"1": "CT"}}, r"modality: .*: must name the channels from 0"),
        ({"modality": {}}, r"modality: {}: must name the channels from 0"),
    ],
)
def test_invalid_names_are_errors(tmp_path: Path, listing: Any, message: str) -> None:
    make_dataset(tmp_path / "set", A, A, listing)
    with pytest.raises(VolumeError, match=message):
        open_dataset(tmp_path / "set")
    assert len(read_dataset(tmp_path / "set")) == 1  # which does not read the names


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("kidney_left", "kidney_right"),
        ("Left Kidney", "Right Kidney"),
        ("hippocampus-L", "hippocampus-R"),
        ("LeftLung", "RightLung"),
        ("lungLeft", "lungRight"),
        ("Lt_lung", "Rt_lung"),
        ("left lobe of the right lung", "right lobe of the left lung"),
    ],
)
def test_names_that_differ_in_side_are_a_pair(one: str, other: str) -> None:
    assert mirror_pairs([other, "liver", one]) == [(one, other)]


@pytest.mark.parametrize(
    "names", [["left atrium"], ["cleft", "bright spot"], ["vertebrae_L1", "vertebrae_R1"], ["lung", "lung_left"]]
)
def test_other_names_are_no_pair(names: list[str]) -> None:
    assert mirror_pairs(names) == []
