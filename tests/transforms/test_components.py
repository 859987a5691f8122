"""Components that a rule does not keep are removed from label maps, and nothing else changes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Hashable

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray

from hybridseg.transforms.components import ComponentRule, RemoveComponentsd, remove_components


@pytest.fixture
def labels() -> NDArray[np.uint8]:
    """Label 1 with components of 8, 1 and 2 voxels, label 2 with one of 12."""
    labels = np.zeros((12, 6, 6), dtype=np.uint8)
    labels[0:2, 0:2, 0:2] = 1
    labels[4, 0, 0] = 1
    labels[6, 0, 0:2] = 1
    labels[8:11, 2:4, 2:4] = 2
    return labels


def test_only_the_largest_component_is_kept(labels: NDArray[np.uint8]) -> None:
    remove_components(labels, [ComponentRule(labels=[1], largest=True)], voxel_mm3=1.0)
    assert np.bincount(labels.ravel())[1:].tolist() == [8, 12]
    assert labels[:2, :2, :2].all()


@pytest.mark.parametrize(("smallest_mm3", "left"), [(4.0, 11), (4.1, 10), (8.1, 8), (99.0, 0)])
def test_small_components_are_removed_by_their_volume(
    labels: NDArray[np.uint8], smallest_mm3: float, left: int
) -> None:
    remove_components(labels, [ComponentRule(labels=[1], smallest_mm3=smallest_mm3)], voxel_mm3=4.0)
    assert ((labels == 1).sum(), (labels == 2).sum()) == (left, 12)


def test_labels_taken_as_one_are_connected_to_each_other() -> None:
    labels = np.array([1, 2, 0, 2, 0, 1, 1, 1], dtype=np.uint16)[:, None, None]
    remove_components(labels, [ComponentRule(labels=[1, 2], smallest_mm3=2)], voxel_mm3=1.0)
    assert labels.ravel().tolist() == [1, 2, 0, 0, 0, 1, 1, 1]


def test_removed_part_of_a_region_becomes_what_is_around_it() -> None:
    labels = np.array([1, 2, 1, 1, 2, 2, 2, 0], dtype=np.uint8)[:, None, None]
    rules = [ComponentRule(labels=[2], largest=True, becomes=1), ComponentRule(labels=[1], smallest_mm3=3)]
    remove_components(labels, rules, voxel_mm3=1.0)
    assert labels.ravel().tolist() == [1, 1, 1, 1, 2, 2, 2, 0]


def test_transform_measures_volumes_by_the_affine(labels: NDArray[np.uint8]) -> None:
    affine = torch.diag(torch.tensor([2.0, 1.0, 2.0, 1.0]))
    case: dict[Hashable, MetaTensor] = {"pred": MetaTensor(torch.from_numpy(labels)[None], affine=affine)}
    cleaned = RemoveComponentsd("pred", [{"labels": [1], "smallest_mm3": 8.1}])(case)["pred"]
    assert (cleaned == 1).sum() == 8
    assert (case["pred"] == 1).sum() == 11
    assert torch.equal(cleaned.affine, case["pred"].affine)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"labels": [], "largest": True}, r"labels: \[\]: must be labels from 1"),
        ({"labels": [0], "largest": True}, r"labels: \[0\]: must be labels from 1"),
        ({"labels": [1]}, r"labels: \[1\]: must have largest or smallest_mm3"),
        ({"labels": [1], "smallest_mm3": -1.0}, r"smallest_mm3: -1.0: must be a volume in mm3"),
        ({"labels": [1], "smallest": 3}, r"components: 'smallest': must be one of labels, largest, smallest_mm3"),
    ],
)
def test_invalid_rules_are_errors(rule: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RemoveComponentsd("pred", [rule])


def test_pipelines_import_without_scipy() -> None:
    program = "import sys; sys.modules['scipy'] = None; import hybridseg.transforms.pipelines"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)
