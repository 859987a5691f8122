"""What is decided follows from the dataset: each rule by a dataset that calls for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hybridseg.app.planning.dataset_fingerprint import DatasetFingerprint, LabelSummary, PooledIntensities
from hybridseg.app.planning.planner import Decision, Planner
from hybridseg.app.planning.step_cost import StepCost
from hybridseg.transforms.datasets.dataset import Dataset

Triple = tuple[float, float, float]
LABEL = LabelSummary(cases=20, millilitres=5.0, components=1.0, extent_mm=(20.0, 20.0, 20.0))
CHANNEL = PooledIntensities(
    voxels=1000, mean=80.0, deviation=40.0, minimum=-900.0, maximum=2000.0, percentile_0_5=-63.0, percentile_99_5=217.0
)
BYTES_PER_VOXEL = 1000


def dataset(channels: tuple[str, ...] = ("MRI",), **options: Any) -> Dataset:
    names = {"label_names": {1: "anterior", 2: "posterior"}, "regions": {}}
    return Dataset(folder=Path("data"), layout="decathlon", cases=(), channel_names=channels, **{**names, **options})


def facts(
    spacing: Triple = (1.0, 1.0, 1.0), extent: Triple = (35.0, 50.0, 35.0), cases: int = 200, content: float = 0.9
) -> DatasetFingerprint:
    return DatasetFingerprint(
        cases=cases,
        median_spacing=spacing,
        fine_spacing=spacing,
        median_shape=(1.0, 1.0, 1.0),
        largest_shape=(1, 1, 1),
        median_extent_mm=extent,
        median_content=content,
        channels=(CHANNEL,),
        labels={1: LABEL, 2: LABEL},
    )


def plan(
    described: Dataset | None = None, measured: DatasetFingerprint | None = None, memory: float = 8e9, **given: Any
) -> dict[str, Decision]:
    def measure(settings: Mapping[str, Any]) -> StepCost:
        samples = settings["batch_size"] * settings["patches"]
        return StepCost(BYTES_PER_VOXEL * samples * math.prod(settings["patch_size"]), 1.0)

    known = measured or facts()
    training = known.cases * 4 // 5
    planner = Planner(
        described or dataset(), known, training=training, memory=int(memory), measure=measure, given=given
    )
    return planner.plan()


def values(decisions: Mapping[str, Decision]) -> dict[str, Any]:
    return {name: decision.value for name, decision in decisions.items()}


def test_small_volumes_are_taken_whole_by_the_small_network() -> None:
    chosen = values(plan())
    expected = {"preset": "small", "patch_size": [40, 56, 40], "batch_size": 2, "patches": 1, "spacing": [1.0] * 3}
    assert chosen.items() >= expected.items()
    assert "strides" not in chosen


def test_large_volumes_are_cut_into_patches_that_fit_the_memory() -> None:
    decisions = plan(measured=facts(spacing=(1.5, 1.5, 1.5), extent=(360.0, 360.0, 450.0)), memory=2e9)
    chosen = values(decisions)
    assert (chosen["preset"], chosen["batch_size"], chosen["patches"]) == ("base", 1, 2)
    voxels = math.prod(chosen["patch_size"])
    assert 2 * BYTES_PER_VOXEL * voxels <= 2e9 < 2 * BYTES_PER_VOXEL * voxels * 1.3
    assert "of 2 GB" in decisions["patch_size"].reason


def test_a_window_has_a_width_though_all_labelled_voxels_are_alike() -> None:
    alike = replace(CHANNEL, percentile_0_5=0.0, percentile_99_5=0.0)
    assert values(plan(dataset(("CT",)), replace(facts(), channels=(alike,))))["window"] == [0, 10]


def test_ct_is_windowed_by_its_labelled_voxels() -> None:
    chosen = values(plan(dataset(("CT",))))
    assert (chosen["modality"], chosen["window"], chosen["padding"]) == ("CT", [-70, 220], -1.0)
    assert values(plan()).items() >= {"modality": "MRI", "padding": 0.0}.items()


def test_thick_slices_shape_the_network_and_its_patches() -> None:
    chosen = values(plan(measured=facts(spacing=(0.7, 0.7, 5.0), extent=(210.0, 210.0, 100.0))))
    assert chosen["strides"][0] == (2, 2, 1)
    assert chosen["stem_kernel"] == (3, 3, 1)
    assert chosen["rotation"] == [0.0, 0.0, 15.0]


def test_empty_space_is_cut_away() -> None:
    assert values(plan(measured=facts(content=0.4)))["crop_margin"] == 8
    assert values(plan())["crop_margin"] is None


@pytest.mark.parametrize(
    "name", ["kidney_left", "left atrium", "Right Kidney", "hippocampus-R", "LeftLung", "lungLeft", "Lt_lung"]
)
def test_nothing_is_mirrored_where_a_label_has_a_side(name: str) -> None:
    decisions = plan(dataset(label_names={1: name}))
    assert values(decisions)["flip_axes"] == values(decisions)["mirror_axes"] == []
    assert name in decisions["flip_axes"].reason


def test_nothing_is_mirrored_where_a_region_has_a_side() -> None:
    unnamed = dataset(label_names={}, regions={"kidneys": (1, 2), "left kidney": (2,)})
    assert values(plan(unnamed))["flip_axes"] == []


@pytest.mark.parametrize("name", ["liver", "cleft", "bright spot", "portal", "vertebrae_L1"])
def test_a_word_that_only_contains_a_side_has_none(name: str) -> None:
    assert values(plan(dataset(label_names={1: name})))["flip_axes"] == [0]


def test_more_cases_train_for_fewer_epochs() -> None:
    few, many = (values(plan(measured=facts(cases=cases)))["max_epochs"] for cases in (50, 1000))
    assert few == pytest.approx(20 * many, rel=0.1)


def test_a_dataset_too_large_for_the_memory_is_kept_in_part() -> None:
    shape = facts(spacing=(1.0, 1.0, 1.0), extent=(300.0, 300.0, 300.0), cases=1000)
    assert 0 < values(plan(measured=shape, memory=4e9))["cache_rate"] < 0.05


def test_labels_without_names_are_numbered() -> None:
    assert values(plan(dataset(label_names={})))["label_names"] == {1: "label_1", 2: "label_2"}
    assert "label maps" in plan(dataset(label_names={}))["label_names"].reason
    unnamed = dataset(label_names={}, regions={"whole": (1, 2), "core": (2,)})
    assert "regions" in plan(unnamed)["label_names"].reason


@pytest.mark.parametrize(
    ("extent", "memory", "why"),
    [(50.0, 8e9, "it holds a volume"), (300.0, 8e12, "none larger is planned"), (300.0, 2e9, "would not fit")],
)
def test_why_no_larger_patch_is_taken_is_told(extent: float, memory: float, why: str) -> None:
    assert why in plan(measured=facts(extent=(extent, extent, extent)), memory=memory)["patch_size"].reason


def test_what_the_user_decides_stands_and_others_follow_from_it() -> None:
    decisions = plan(spacing=[2.0] * 3, preset="tiny", patch_size=[24, 24, 24])
    chosen = values(decisions)
    assert chosen.items() >= {"spacing": [2.0] * 3, "preset": "tiny", "patch_size": [24, 24, 24]}.items()
    assert decisions["spacing"].reason == "Given by the user."
    assert decisions["cache_rate"].reason.startswith("All prepared cases take about 13 MB")


def test_regions_have_outputs_of_their_own() -> None:
    regions = {"whole": (1, 2), "core": (2,)}
    assert values(plan(dataset(regions=regions)))["regions"] == {"whole": [1, 2], "core": [2]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_names": {1: "a", 3: "b"}}, "labels: 1, 3: must be 1 to the number of labels"),
        ({"regions": {"whole": (1, 2), "again": (1, 2)}}, "regions"),
    ],
)
def test_labels_that_cannot_be_told_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(dataset(**options))


def test_every_decision_has_a_reason() -> None:
    for decision in plan().values():
        assert decision.reason.endswith(".")
        assert len(decision.reason) > 10
