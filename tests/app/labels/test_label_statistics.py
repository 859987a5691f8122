"""Volumes and intensities of labels."""

from __future__ import annotations

import numpy as np

from hybridseg.app.labels.label_statistics import label_statistics


def test_statistics_of_a_box_and_of_an_absent_label() -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[:2, :2, 0] = 2
    image = np.arange(64, dtype=np.float32).reshape(4, 4, 4)
    affine = np.diag([2.0, -3.0, 5.0, 1.0])
    absent, box = label_statistics(labels, [image], affine=affine, label_names={1: "liver", 2: "box"}, case="a")
    assert (absent.voxels, absent.volume_ml, absent.mean, absent.p95) == (0, 0.0, None, None)
    assert (box.voxels, box.volume_ml, box.mean, box.median) == (4, 0.12, 10.0, 10.0)


def test_intensities_keep_their_digits_in_any_unit() -> None:
    labels = np.ones((2, 2, 2), np.uint8)
    for diffusion in (0.000824, 824.0):  # in mm²/s and in µm²/s
        image = np.full(labels.shape, diffusion, np.float32)
        (row,) = label_statistics(labels, [image], affine=np.eye(4), label_names={1: "lesion"})
        assert (row.mean, row.median, row.p95) == (diffusion, diffusion, diffusion)
