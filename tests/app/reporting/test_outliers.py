"""Volumes of a cohort and their robust z-scores."""

from __future__ import annotations

import numpy as np
import pytest

from hybridseg.app.reporting.outliers import FEWEST, LIMIT, cohort_volumes, label_volumes, robust_z


def test_volume_is_voxels_times_voxel_volume() -> None:
    labels = np.zeros((10, 10, 10), dtype=np.uint8)
    labels[:5, :4, :5] = 1
    labels[9, 9, 9] = 3
    affine = np.array([[0, -2.0, 0, 5], [1.0, 0, 0, 5], [0, 0, 5.0, 5], [0, 0, 0, 1]])
    assert label_volumes(labels, affine) == {1: 1.0, 3: 0.01}


def test_outlier_does_not_mask_itself() -> None:
    volumes = [100.0, 101.0, 99.0, 102.0, 98.0, 1000.0]  # its plain z-score is 2.2
    scores = robust_z(volumes)
    assert [score is not None and abs(score) > LIMIT for score in scores] == [False] * 5 + [True]


def test_mean_deviation_is_used_if_most_values_are_equal() -> None:
    assert robust_z([5.0] * 6) == [0.0] * 6
    assert robust_z([0.0] * 9 + [5.0])[-1] == pytest.approx(5 / (1.253314 * 0.5), abs=1e-3)


def test_too_few_cases_have_no_scores() -> None:
    assert robust_z([1.0] * (FEWEST - 2) + [9.0]) == [None] * (FEWEST - 1)


def test_missing_label_has_volume_zero() -> None:
    volumes = cohort_volumes({"one": {1: 2.0}, "two": {1: 3.0, 4: 1.0}})
    assert [(volume.case, volume.name, volume.ml) for volume in volumes] == [
        *[("one", "1", 2.0), ("two", "1", 3.0)],
        *[("one", "4", 0.0), ("two", "4", 1.0)],
    ]


def test_region_has_the_volume_of_its_labels() -> None:
    regions = {"whole": [1, 2], "core": [2]}
    volumes = cohort_volumes({"one": {1: 2.0, 2: 0.5}}, regions=regions)
    assert [(volume.label, volume.name, volume.ml) for volume in volumes] == [(1, "whole", 2.5), (2, "core", 0.5)]


def test_label_found_in_no_case_is_left_out() -> None:
    volumes = cohort_volumes({"one": {2: 0.5}}, label_names={1: "edema", 2: "core"})
    assert [volume.name for volume in volumes] == ["core"]
