"""Some labels are kept, and only the largest component of each."""

from __future__ import annotations

import numpy as np

from hybridseg.app.labels.keep import keep_components, keep_labels


def test_only_the_largest_component_stays() -> None:
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[1:3, 1:3, 1:3] = 1
    labels[5:8, 5:8, 5:8] = 1
    labels[5:6, 1:2, 1:4] = 4
    expected = labels.copy()
    expected[1:3, 1:3, 1:3] = 0
    keep_components(labels, largest=True)
    np.testing.assert_array_equal(labels, expected)


def test_components_below_a_volume_are_removed() -> None:
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[1:3, 1:3, 1:3] = 1  # 8 voxels, 16 mm³
    labels[5:8, 5:8, 5:8] = 1
    labels[5:6, 1:2, 1:4] = 4  # the only one of its label
    for smallest, removed in ((6.0, ()), (6.1, (4,)), (16.1, (1, 4))):
        kept, expected = labels.copy(), labels.copy()
        expected[1:3, 1:3, 1:3] = 0 if 1 in removed else 1
        expected[labels == 4] = 0 if 4 in removed else 4
        keep_components(kept, smallest_mm3=smallest, voxel_mm3=2.0)
        np.testing.assert_array_equal(kept, expected)


def test_other_labels_become_background() -> None:
    labels = np.array([0, 1, 2, 3, 300], np.uint16)
    np.testing.assert_array_equal(keep_labels(labels, [1, 300, 500]), [0, 1, 0, 0, 300])
    assert keep_labels(labels, [1, 2, 3, *range(4, 301)]) is labels
