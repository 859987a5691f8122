"""Labels of any values are numbered for a network, and get their values again."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from hybridseg.transforms import LoadVolumed, VolumeError, class_names, restore_labels
from hybridseg.transforms.label_values import label_values

VALUES = (500, 600, 820)


def write(path: Path, *labels: int) -> str:
    """Write a label map of one column."""
    nib.save(nib.Nifti1Image(np.array(labels, np.uint16)[:, None, None], np.eye(4)), path)
    return str(path)


@pytest.mark.parametrize("labels", [VALUES, (820, 500, 600), {"600": "a", "820": "b", "500": "c"}])
def test_labels_are_numbered_in_the_order_of_their_values(tmp_path: Path, labels: tuple[int, ...]) -> None:
    path = write(tmp_path / "a.nii.gz", 0, 820, 500, 600, 500)
    numbered = LoadVolumed(["label"], labels=labels)({"label": path})["label"]
    assert numbered.flatten().tolist() == [0, 3, 1, 2, 1]
    assert LoadVolumed(["label"])({"label": path})["label"].flatten().tolist() == [0, 820, 500, 600, 500]


def test_names_are_in_the_order_of_classes(tmp_path: Path) -> None:
    """Not in that of the file, nor in that of the values as text."""
    names = {"820": "spleen", "9": "liver", "1000": "aorta"}
    path = write(tmp_path / "a.nii.gz", 9, 820, 1000)
    classes = LoadVolumed(["label"], labels=names)({"label": path})["label"].flatten().int().tolist()
    assert [class_names(names)[number - 1] for number in classes] == ["liver", "spleen", "aorta"]


def test_unknown_value_is_an_error_that_names_file_and_value(tmp_path: Path) -> None:
    path = write(tmp_path / "case_7.nii.gz", 0, 500, 700, 3, 700)
    with pytest.raises(VolumeError, match=r"case_7\.nii\.gz: labels 3, 700: must be among 0, 500, 600, 820"):
        LoadVolumed(["label"], labels=VALUES)({"label": path})


@pytest.mark.parametrize("values", [VALUES, (1, 4), (1, 2, 3), (200, 40_000)])
def test_restored_classes_have_their_values(values: tuple[int, ...]) -> None:
    numbers = np.random.default_rng(0).integers(0, len(values) + 1, (5, 4, 3))
    logits = np.stack([numbers == number for number in range(len(values) + 1)]).astype(np.float32)
    restored = restore_labels(torch.from_numpy(logits), np.eye(4), numbers.shape, np.eye(4), labels=values)
    assert restored.dtype == (np.uint16 if max(values) > 255 else np.uint8)
    np.testing.assert_array_equal(restored, np.array([0, *values])[numbers])


def test_each_class_needs_a_value() -> None:
    with pytest.raises(ValueError, match="labels: 3 values for 2 classes: must be one for each class"):
        restore_labels(torch.zeros(3, 2, 2, 2), np.eye(4), (2, 2, 2), np.eye(4), labels=VALUES)
    with pytest.raises(ValueError, match="labels: 1 values for regions"):
        restore_labels(torch.zeros(1, 2, 2, 2), np.eye(4), (2, 2, 2), np.eye(4), labels=[1], regions={"a": [1]})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], r"labels: \[\]: must be different integers from 1 to 65535"),
        ([0, 1], r"labels: \[0, 1\]: must be different integers from 1"),
        ([1, 70_000], "must be different integers"),
        ([2, 2], "must be different integers"),
        (["liver"], r"labels: \['liver'\]: must be integers"),
    ],
)
def test_invalid_values_are_errors(labels: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        label_values(labels)
