"""Each rule of the planner, tested on a dataset to which it applies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hybridseg.app.planning.dataset_fingerprint import DatasetFingerprint, PooledIntensities
from hybridseg.app.planning.planner import Decision, Planner
from hybridseg.app.planning.step_cost import StepCost
from hybridseg.transforms.datasets.dataset import Dataset

Triple = tuple[float, float, float]
CHANNEL = PooledIntensities(percentile_0_5=-63.0, percentile_99_5=217.0)
BYTES_PER_VOXEL = 1000


def dataset(channels: tuple[str, ...] = ("MRI",), **options: Any) -> Dataset:
    names = {"label_names": {1: "anterior", 2: "posterior"}, "regions": {}}
    return Dataset(folder=Path("data"), layout="decathlon", cases=(), channel_names=channels, **{**names, **options})


def fingerprint(
    spacing: Triple = (1.0, 1.0, 1.0),
    extent: Triple = (35.0, 50.0, 35.0),
    cases: int = 200,
    body: float = 0.9,
    labelled: Triple | None = None,
) -> DatasetFingerprint:
    return DatasetFingerprint(
        cases=cases,
        median_spacing=spacing,
        fine_spacing=spacing,
        median_extent_mm=extent,
        median_labelled_mm=labelled or extent,
        median_body_share=body,
        channels=(CHANNEL,),
        labels=(1, 2),
    )


def plan(
    described: Dataset | None = None, measured: DatasetFingerprint | None = None, memory: float = 8e9, **given: Any
) -> dict[str, Decision]:
    def measure(settings: Mapping[str, Any]) -> StepCost:
        samples = settings["batch_size"] * settings["patches"]
        return StepCost(BYTES_PER_VOXEL * samples * math.prod(settings["patch_size"]), 1.0)

    known = measured or fingerprint()
    training = known.cases * 4 // 5
    planner = Planner(
        described or dataset(), known, training=training, memory=int(memory), measure=measure, given=given
    )
    return planner.plan()


def values(decisions: Mapping[str, Decision]) -> dict[str, Any]:
    return {name: decision.value for name, decision in decisions.items()}


def test_small_volumes_get_the_small_preset_and_one_patch() -> None:
    chosen = values(plan())
    expected = {"preset": "small", "patch_size": [40, 56, 40], "batch_size": 2, "patches": 1, "spacing": [1.0] * 3}
    assert chosen.items() >= expected.items()
    assert "strides" not in chosen


def test_large_volumes_get_patches_that_fit_the_memory() -> None:
    decisions = plan(measured=fingerprint(spacing=(1.5, 1.5, 1.5), extent=(360.0, 360.0, 450.0)), memory=2e9)
    chosen = values(decisions)
    assert (chosen["preset"], chosen["batch_size"], chosen["patches"]) == ("base", 1, 2)
    voxels = math.prod(chosen["patch_size"])
    assert 2 * BYTES_PER_VOXEL * voxels <= 2e9 < 2 * BYTES_PER_VOXEL * voxels * 1.3
    assert "of 2 GB" in decisions["patch_size"].reason


def test_window_is_never_empty() -> None:
    alike = replace(CHANNEL, percentile_0_5=0.0, percentile_99_5=0.0)
    assert values(plan(dataset(("CT",)), replace(fingerprint(), channels=(alike,))))["window"] == [0, 10]


def test_ct_window_follows_the_labelled_voxels() -> None:
    chosen = values(plan(dataset(("CT",))))
    assert (chosen["modality"], chosen["window"], chosen["padding"]) == ("CT", [-70, 220], -1.0)
    assert values(plan()).items() >= {"modality": "MRI", "padding": 0.0}.items()


def test_each_channel_is_normalised_by_what_it_is() -> None:
    measured = replace(fingerprint(), channels=(CHANNEL, replace(CHANNEL, percentile_0_5=0.1), CHANNEL))
    decisions = plan(dataset(("CT", "FDG-PET", "T1")), measured)
    chosen = values(decisions)
    assert chosen["modality"] == "CT and PET and MRI"
    assert chosen["modalities"] == {"CT": "CT", "FDG-PET": "PET", "T1": "MRI"}
    assert chosen["windows"] == {"CT": [-70, 220]}
    assert chosen["padding"] == [-1.0, 0.0, 0.0]
    assert "SUV mean the same too; they are clipped to 0 to 20 and divided by 5." in decisions["modalities"].reason
    alone = values(plan(dataset(("PET",))))
    assert alone["modalities"] == {"PET": "PET"}
    assert "windows" not in alone


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        (("CT", "CT"), "channels: CT, CT: each must have a name of its own"),
        (("PET/CT",), "channels: 'PET/CT': must be the name of one, CT or PET"),
    ],
)
def test_channels_that_cannot_be_told_apart_are_an_error(channels: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(dataset(channels), replace(fingerprint(), channels=(CHANNEL,) * len(channels)))


def test_thick_slices_change_network_and_rotation() -> None:
    chosen = values(plan(measured=fingerprint(spacing=(0.7, 0.7, 5.0), extent=(210.0, 210.0, 100.0))))
    assert chosen["strides"][0] == (2, 2, 1)
    assert chosen["stem_kernel"] == (3, 3, 1)
    assert chosen["rotation"] == [0.0, 0.0, 15.0]


def test_empty_space_is_cropped() -> None:
    assert values(plan(measured=fingerprint(body=0.4)))["crop_margin"] == 8
    assert values(plan())["crop_margin"] is None


def test_labels_that_differ_in_side_prevent_mirroring() -> None:
    decisions = plan(dataset(label_names={1: "kidney_left", 2: "kidney_right"}))
    assert values(decisions)["flip_axes"] == values(decisions)["mirror_axes"] == []
    assert decisions["flip_axes"].reason.startswith("kidney_left and kidney_right differ only in their side")


def test_regions_that_differ_in_side_prevent_mirroring() -> None:
    regions = {"kidneys": (1, 2, 3), "left kidney": (1,), "right kidney": (2,)}
    assert values(plan(dataset(label_names={}, regions=regions)))["flip_axes"] == []


def test_side_of_a_single_label_allows_mirroring() -> None:
    assert values(plan(dataset(label_names={1: "left atrium", 2: "liver"})))["flip_axes"] == [0]


def test_more_cases_train_for_fewer_epochs() -> None:
    few, many = (values(plan(measured=fingerprint(cases=cases)))["max_epochs"] for cases in (50, 1000))
    assert few == pytest.approx(20 * many, rel=0.1)


def test_labels_without_names_are_numbered() -> None:
    assert values(plan(dataset(label_names={})))["label_names"] == {1: "label_1", 2: "label_2"}
    assert "label maps" in plan(dataset(label_names={}))["label_names"].reason
    unnamed = dataset(label_names={}, regions={"whole": (1, 2), "core": (2,)})
    assert "regions" in plan(unnamed)["label_names"].reason


@pytest.mark.parametrize(
    ("extent", "memory", "why"),
    [
        (50.0, 8e9, "the patch holds a whole volume."),
        (300.0, 8e12, "no larger patch is planned."),
        (300.0, 2e9, "the next larger patch needs more."),
    ],
)
def test_reason_says_why_no_larger_patch_is_used(extent: float, memory: float, why: str) -> None:
    reason = plan(measured=fingerprint(extent=(extent, extent, extent)), memory=memory)["patch_size"].reason
    assert reason.endswith(why)


def test_given_values_replace_decisions_and_others_follow() -> None:
    decisions = plan(spacing=[2.0] * 3, preset="tiny", patch_size=[24, 24, 24])
    chosen = values(decisions)
    assert chosen.items() >= {"spacing": [2.0] * 3, "preset": "tiny", "patch_size": [24, 24, 24]}.items()
    assert decisions["spacing"].reason == "Given by the user."
    assert values(plan(spacing=[2.0] * 3))["patches"] == chosen["patches"] == 1


def test_given_values_may_have_a_reason() -> None:
    planner = Planner(
        dataset(),
        fingerprint(),
        training=160,
        memory=10**9,
        measure=lambda settings: StepCost(1, 0.0),
        given={"preset": "tiny", "spacing": [2.0] * 3},
        reasons={"preset": "It is the fastest."},
    )
    decisions = planner.plan()
    assert (decisions["preset"].value, decisions["preset"].reason) == ("tiny", "It is the fastest.")
    assert decisions["spacing"].reason == "Given by the user."


def test_regions_are_segmented_in_place_of_labels() -> None:
    regions = {"whole": (1, 2), "core": (2,)}
    assert values(plan(dataset(regions=regions)))["regions"] == {"whole": [1, 2], "core": [2]}
    decision = plan(dataset(label_names={1: "a", 2: "b", 7: "c"}, regions=regions))["regions"]
    assert decision.reason.endswith("In no region, and so background: 7.")


def test_labels_of_any_values_are_planned() -> None:
    decisions = plan(dataset(label_names={500: "a", 820: "b"}, ignore_label=900))
    assert values(decisions).items() >= {"label_names": {500: "a", 820: "b"}, "ignore_label": 900}.items()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regions": {"whole": (1, 2), "again": (1, 2)}}, "regions"),
    ],
)
def test_labels_that_do_not_suit_a_network_are_an_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(dataset(**options))


MRI_REASONS = {
    "label_names": "Named by the dataset.",
    "channels": "The channels of an image: MRI.",
    "modality": "The channels are not named CT or PET, so each is z-scored over the voxels of the body.",
    "padding": "Small volumes are padded with the mean of the body, which is 0.",
    "spacing": "The median spacing of the dataset.",
    "crop_margin": "The body fills 90% of a volume: cropping would save little.",
    "preset": "A typical volume has 35 x 50 x 35 voxels on this grid, too few for a fourth downsampling.",
    "batch_size": "2 patches per step: each is normalised by itself, so few are enough and steps are short.",
    "patches": "A patch covers nearly the whole volume.",
    "patch_size": "A step needed 0.18 GB of 8 GB and 1.0 s; the patch holds a whole volume.",
    "flip_axes": "No two labels differ only in their side, so volumes may be mirrored.",
    "mirror_axes": "The axes that training mirrors; prediction may mirror them too.",
    "rotation": "Degrees; rotation about every axis, since no voxel edge is more than 3 times another.",
    "max_epochs": "7520 steps, 80 per epoch (training cases: 160).",
    "val_interval": "The best of 31 validations chooses the weights that are kept.",
}
CT_REASONS = {
    "label_names": "The numbers found in the label maps, since the dataset does not name its labels.",
    "modality": "The dataset names its channel CT, so intensities are HU in every volume.",
    "window": "99 % of the labelled voxels lie between these HU, which are scaled to -1 and 1.",
    "padding": "Small volumes are padded with air, which the window scales to -1.",
    "spacing": "The median spacing of the dataset; across thick slices the 10th percentile.",
    "crop_margin": "The body fills 40% of a volume: all else is cropped, except a margin of 8 voxels.",
    "preset": "A typical volume has 300 x 300 x 30 voxels on this grid, enough for a fourth downsampling.",
    "strides": "An axis is halved when its voxels are less than twice as long as the shortest, "
    "and it has at least 8 of them.",
    "kernels": "No convolution along an axis whose voxels are at least twice as long as the shortest.",
    "stem_kernel": "The same rule at full resolution.",
    "batch_size": "2 patches per step: each is normalised by itself, so few are enough and steps are short; "
    "both come from one case.",
    "patches": "A volume is loaded once for all patches of a step.",
    "rotation": "Degrees; rotation within slices only, since the slices are thick.",
}


def test_every_decision_of_an_mri_dataset_has_its_reason() -> None:
    assert {name: decision.reason for name, decision in plan().items()} == MRI_REASONS


def test_reasons_follow_from_a_ct_dataset_of_thick_slices() -> None:
    measured = fingerprint(spacing=(0.7, 0.7, 5.0), extent=(210.0, 210.0, 150.0), body=0.4)
    decisions = plan(dataset(("CT",), label_names={}), measured, memory=1e9)
    reasons = {name: decision.reason for name, decision in decisions.items()}
    assert reasons.items() >= CT_REASONS.items()


def test_label_that_stands_for_several_has_the_name_of_its_region() -> None:
    regions = {"whole": (1, 2, 3, 4), "core": (3, 1, 2), "enhancing": (1,)}
    names = values(plan(dataset(label_names={1: "enhancing"}, regions=regions)))["label_names"]
    assert names == {1: "enhancing", 2: "label_2", 3: "core", 4: "label_4"}
