"""A case is measured as the pipelines see it, and its problems are reported."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from hybridseg.app.planning.case_fingerprint import CaseFingerprint
from hybridseg.app.planning.measure_case import measure_case
from hybridseg.transforms import open_dataset
from hybridseg.transforms.datasets.dataset import LabelledCase

SPACING = (1.0, 1.5, 2.0)
AFFINE = np.diag([*SPACING, 1.0])
SHAPE = (12, 10, 8)
IMAGE = np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32)


def two_labels() -> NDArray[np.uint8]:
    """Label 1 in two boxes, and a voxel of label 3."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[1:3, 2:5, 1:3] = 1
    labels[6:7, 2:5, 1:2] = 1
    labels[11, 9, 7] = 3
    return labels


LABELS = two_labels()


def write(path: Path, voxels: NDArray[Any], affine: NDArray[np.float64] = AFFINE) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return str(path)


@pytest.fixture
def case(tmp_path: Path) -> LabelledCase:
    image, label = write(tmp_path / "images" / "a.nii.gz", IMAGE), write(tmp_path / "labels" / "a.nii.gz", LABELS)
    return {"case": "a", "image": image, "label": label}


def test_grid_is_measured_along_the_patients_axes(case: LabelledCase, tmp_path: Path) -> None:
    measured = measure_case(case)
    assert measured.is_sound
    assert (measured.case, measured.shape, measured.spacing) == ("a", SHAPE, SPACING)
    turned = nib.orientations.ornt_transform(*(nib.orientations.axcodes2ornt(codes) for codes in ("RAS", "ILP")))
    paths = []
    for name, voxels in (("image", IMAGE), ("label", LABELS)):
        stored = nib.Nifti1Image(voxels, AFFINE).as_reoriented(turned.tolist())
        paths.append(write(tmp_path / f"{name}.nii", np.asarray(stored.dataobj), np.asarray(stored.affine)))
    other: LabelledCase = {"case": "a", "image": paths[0], "label": paths[1]}
    assert measure_case(other) == measured


def test_quantiles_are_those_of_the_labelled_voxels(case: LabelledCase) -> None:
    measured = measure_case(case)
    (quantiles,) = measured.quantiles
    inside = IMAGE[LABELS > 0].astype(np.float64)
    assert measured.labelled_voxels == inside.size == 16
    np.testing.assert_allclose(quantiles, np.percentile(inside, np.arange(0, 100.1, 0.5)), rtol=1e-6)


def test_box_around_the_labels_is_measured(case: LabelledCase) -> None:
    box = (11 * SPACING[0], 8 * SPACING[1], 7 * SPACING[2])  # voxels 1 to 11, 2 to 9, 1 to 7
    assert measure_case(case).labelled_extent == pytest.approx(box)


def test_healthy_case_is_sound_and_has_no_quantiles(case: LabelledCase) -> None:
    write(Path(case["label"]), LABELS * 0)
    measured = measure_case(case, labels=(1, 3))
    assert measured.is_sound
    assert (measured.label_volumes, measured.labelled_voxels, measured.quantiles) == ({}, 0, ((),))
    assert measured.labelled_extent is None


@pytest.mark.parametrize("factor", [1, 300])
def test_every_label_has_its_volume(case: LabelledCase, factor: int) -> None:
    write(Path(case["label"]), LABELS.astype(np.uint16) * factor)
    volumes = measure_case(case).label_volumes
    assert volumes == pytest.approx({1 * factor: 15 * 3 / 1000, 3 * factor: 3 / 1000})


def test_body_share_ignores_air(tmp_path: Path) -> None:
    image = np.full(SHAPE, -1000, dtype=np.int16)
    image[3:9, 5:10, 0:4] = 40
    image[3, 5, 0] = 41
    case: LabelledCase = {
        "case": "a",
        "image": write(tmp_path / "i.nii", image),
        "label": write(tmp_path / "l.nii", LABELS),
    }
    for measured in (measure_case(case), measure_case(case, modalities=("CT",))):
        assert measured.body_share == pytest.approx(6 * 5 * 4 / image.size)


@pytest.mark.parametrize("in_one_file", [True, False])
def test_every_channel_is_measured(case: LabelledCase, tmp_path: Path, in_one_file: bool) -> None:
    second = 2 * IMAGE
    if in_one_file:
        case["image"] = write(tmp_path / "both.nii", np.stack([IMAGE, second], -1))
    else:
        case["image"] = [write(tmp_path / f"a_000{index}.nii", part) for index, part in enumerate([IMAGE, second])]
    one, two = measure_case(case, modalities=("MRI", "MRI")).quantiles
    assert two == pytest.approx([2 * value for value in one])


def test_hash_depends_on_the_voxels_not_on_the_file(case: LabelledCase, tmp_path: Path) -> None:
    copy: LabelledCase = {**case, "image": write(tmp_path / "copy.nii", IMAGE.astype(np.float64))}
    changed = IMAGE.copy()
    changed[0, 0, 0] += 1
    other: LabelledCase = {**case, "image": write(tmp_path / "other.nii", changed)}
    first, second, third = (measure_case(one).image_hash for one in (case, copy, other))
    assert first == second != third


def test_fingerprint_survives_json(case: LabelledCase) -> None:
    measured = measure_case(case)
    assert CaseFingerprint.from_record(json.loads(json.dumps(asdict(measured), allow_nan=False))) == measured


# Problems


def with_nan() -> NDArray[np.float32]:
    image = IMAGE.copy()
    image[3, 3, 3] = np.nan
    return image


def cut(path: Path) -> int:
    return path.write_bytes(path.read_bytes()[:-200])


MOVED = np.array([[1.0, 0, 0, 5], [0, 1.5, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]])
BROKEN: dict[str, tuple[Callable[[Path, Path], object], list[str]]] = {
    "NaN": (lambda image, label: write(image, with_nan()), ["a.nii.gz: 1 of 960 voxels are NaN or infinite: every"]),
    "other shape": (lambda image, label: write(label, LABELS[1:]), [r"shape (11, 10, 8) instead of (12, 10, 8): must"]),
    "other place": (
        lambda image, label: write(label, LABELS, MOVED),
        ["affine that places voxels up to 5 mm elsewhere"],
    ),
    "label 7": (lambda image, label: write(label, LABELS * 7), ["a.nii.gz: labels 7, 21: must be among 0, 1, 3"]),
    "fraction": (lambda image, label: write(label, LABELS * np.float32(0.5)), ["labels such as 0.5: labels must be"]),
    "uniform": (
        lambda image, label: write(image, IMAGE * 0),
        ["all voxels are 0: voxels must differ to show anything"],
    ),
    "truncated": (lambda image, label: cut(image), ["images/a.nii.gz: unreadable"]),
    "missing label": (lambda image, label: label.unlink(), ["labels/a.nii.gz: not a file: must be a file that exists"]),
    "two channels": (
        lambda image, label: write(image, np.stack([IMAGE, IMAGE], -1)),
        ["a.nii.gz: 2 channels (shape (12, 10, 8, 2)): must have 1"],
    ),
    "all of it": (
        lambda image, label: (cut(image), cut(label)),
        ["images/a.nii.gz: unreadable", "labels/a.nii.gz: unr"],
    ),
    "NaN and label 7": (
        lambda image, label: (write(image, with_nan()), write(label, LABELS * 7)),
        ["voxels are NaN or infinite", "labels 7, 21: must be among"],
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_each_problem_is_one_line(case: LabelledCase, kind: str) -> None:
    change, expected = BROKEN[kind]
    assert isinstance(case["image"], str)
    change(Path(case["image"]), Path(case["label"]))
    measured = measure_case(case, labels=(1, 3))
    assert not measured.is_sound
    assert len(measured.problems) == len(expected)
    for problem, part in zip(measured.problems, expected, strict=True):
        assert part in problem
        assert "\n" not in problem
    json.dumps(asdict(measured), allow_nan=False)


def test_channels_on_two_grids_are_measured_at_the_same_place(case: LabelledCase, tmp_path: Path) -> None:
    """The second channel is the first at half the voxel size; voxels of both are at the centres of the label map's."""
    fine = np.repeat(np.repeat(np.repeat(IMAGE, 3, 0), 3, 1), 3, 2)
    affine = AFFINE @ np.array([[1 / 3, 0, 0, -1 / 3], [0, 1 / 3, 0, -1 / 3], [0, 0, 1 / 3, -1 / 3], [0, 0, 0, 1]])
    files = [write(tmp_path / "a_0000.nii", IMAGE), write(tmp_path / "a_0001.nii", fine, affine)]
    case["image"] = [*files]
    measured = measure_case(case, modalities=("MRI", "MRI"))
    assert measured.is_sound
    assert (measured.shape, measured.spacing) == (SHAPE, SPACING)
    one, two = measured.quantiles
    assert one == pytest.approx(two)
    turned: LabelledCase = {**case, "image": [*files[::-1]]}
    measured = measure_case(turned, modalities=("MRI", "MRI"))
    assert measured.is_sound  # the label map is on the grid of the second channel
    assert measured.shape == fine.shape
    np.testing.assert_allclose(measured.quantiles[1], one)


def test_exchanged_ct_and_pet_are_a_problem(case: LabelledCase, tmp_path: Path) -> None:
    case["image"] = [write(tmp_path / "pet.nii", IMAGE / 50), write(tmp_path / "ct.nii", IMAGE - 1100)]
    problem = measure_case(case, modalities=("CT", "PET")).problems[0]
    assert re.search(r"the lowest voxel in channel 1, PET is -1\d+.*: must be SUV, .*: is this the PET\?", problem)


def test_unreadable_case_has_only_problems(case: LabelledCase) -> None:
    cut(Path(str(case["image"])))
    cut(Path(case["label"]))
    measured = measure_case(case)
    assert measured == CaseFingerprint(case="a", problems=measured.problems)


def test_unlisted_labels_are_measured_too(case: LabelledCase) -> None:
    measured = measure_case(case, labels=(1, 2))
    assert measured.problems == (f"{case['label']}: labels 3: must be among 0, 1, 2",)
    assert list(measured.label_volumes) == [1, 3]


def test_image_without_channels_is_an_error(case: LabelledCase) -> None:
    with pytest.raises(ValueError, match=r"channels: 0: must be at least 1"):
        measure_case(case, modalities=())


def test_ct_of_air_is_a_problem(tmp_path: Path) -> None:
    air = np.random.default_rng(0).integers(-1010, -990, (8, 8, 8)).astype(np.int16)
    for name, voxels in (("image", air), ("label", np.ones((8, 8, 8), np.uint8))):
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / f"{name}.nii.gz")
    case: LabelledCase = {
        "case": "air",
        "image": str(tmp_path / "image.nii.gz"),
        "label": str(tmp_path / "label.nii.gz"),
    }
    assert measure_case(case, modalities=("CT",)).problems == (
        f"{tmp_path / 'image.nii.gz'}: no voxel brighter than air: there must be a body",
    )


def test_hippocampus(data_dir: Path) -> None:
    dataset = open_dataset(data_dir / "Task04_Hippocampus")
    for case in dataset.cases[:3]:
        measured = measure_case(case, labels=dataset.label_values)
        assert measured.is_sound
        assert list(measured.label_volumes) == [1, 2]
        assert all(0.5 < volume < 5 for volume in measured.label_volumes.values())
        assert measured.spacing == (1.0, 1.0, 1.0)


def test_voxels_without_annotation_are_not_measured(case: LabelledCase) -> None:
    plain = measure_case(case, labels=[1])
    assert plain.problems[0].endswith("labels 3: must be among 0, 1")
    measured = measure_case(case, labels=[1], ignore=3)
    assert measured.is_sound
    assert measured.label_volumes.keys() == {1}
    assert measured.labelled_voxels == int((LABELS == 1).sum())


def test_case_without_annotation_is_a_problem(case: LabelledCase) -> None:
    write(Path(str(case["label"])), np.full(SHAPE, 3, dtype=np.uint8))
    measured = measure_case(case, labels=[1], ignore=3)
    assert measured.problems[0].endswith("a.nii.gz: all voxels have the ignore label 3: some must be annotated")
