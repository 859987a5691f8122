"""Labels keep their place on another grid, need little memory, and are counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hybridseg.app.labels import label_maps
from hybridseg.app.labels.label_maps import compact_labels, count_labels, mask_dice, resample_labels

AFFINE = np.array([[0, -1.5, 0, 40], [2.0, 0, 0, -30], [0, 0, 3.0, 7], [0, 0, 0, 1]])
LABELS = np.random.default_rng(0).integers(0, 5, (9, 8, 7), dtype=np.uint8)


def grid(linear: NDArray[np.floating], origin: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the affine (4, 4) with this linear part (3, 3) and position (3,) of the first voxel."""
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = linear, origin
    return affine


@pytest.mark.parametrize(("greatest", "dtype"), [(0, "uint8"), (255, "uint8"), (256, "uint16"), (65535, "uint16")])
def test_labels_have_the_smallest_data_type(greatest: int, dtype: str) -> None:
    compact = compact_labels(torch.tensor([[[0.0, greatest]]]))
    assert compact.dtype == dtype
    assert compact.tolist() == [[[0, greatest]]]


def test_counting_in_parts_counts_every_voxel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_maps, "COUNTED_AT_ONCE", 7)
    labels = np.asfortranarray(np.random.default_rng(0).integers(0, 4, (5, 6, 7), dtype=np.uint16) * 100)
    counts = count_labels(labels)
    assert {label: counts[label] for label in np.flatnonzero(counts)} == dict(
        zip(*np.unique_counts(labels), strict=True)
    )


def test_flipped_and_permuted_labels_are_restored_exactly() -> None:
    flipped = LABELS[::-1].transpose(2, 0, 1)
    to_original = np.array([[0, -1, 0, 8], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    assert np.array_equal(resample_labels(flipped, AFFINE @ to_original, LABELS.shape, AFFINE), LABELS)


def test_finer_labels_are_restored_exactly_up_to_the_border() -> None:
    finer = LABELS.repeat(3, axis=0).repeat(3, axis=1).repeat(3, axis=2)
    third = np.diag([1 / 3, 1 / 3, 1 / 3, 1.0])
    third[:3, 3] = -1 / 3
    assert np.array_equal(resample_labels(finer, AFFINE @ third, LABELS.shape, AFFINE), LABELS)
    assert np.array_equal(resample_labels(LABELS, AFFINE, finer.shape, AFFINE @ third), finer)


def test_outside_of_the_grid_is_background() -> None:
    moved = AFFINE.copy()
    moved[:3, 3] += AFFINE[:3, :3] @ [4, 0, -2]
    expected = np.zeros_like(LABELS)
    expected[4:, :, :5] = LABELS[:-4, :, 2:]
    assert np.array_equal(resample_labels(LABELS, moved, LABELS.shape, AFFINE), expected)


def test_ball_keeps_its_place_on_a_rotated_grid() -> None:
    centre, radius = np.array([5.0, -3.0, 11.0]), 14.0  # in mm
    rotation = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix()
    linears = (np.diag([1.5, 2.0, 2.5]), rotation @ np.diag([1.0, 1.2, 0.8]))
    affines = [grid(linear, centre - linear @ [24.5, 24.5, 24.5]) for linear in linears]

    def depth(affine: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the depth of each voxel (50, 50, 50) below the surface of the ball, in mm."""
        places = np.einsum("ij,jxyz->ixyz", affine[:3, :3], np.indices((50, 50, 50))) + affine[:3, 3, None, None, None]
        return radius - np.linalg.norm(places - centre[:, None, None, None], axis=0)

    resampled = resample_labels((depth(affines[1]) > 0).astype(np.uint8), affines[1], (50, 50, 50), affines[0])
    wanted = depth(affines[0])
    certain = np.abs(wanted) > np.linalg.norm([1.0, 1.2, 0.8]) / 2  # farther than any nearest neighbour
    assert np.array_equal(resampled[certain], wanted[certain] > 0)
    assert resampled.sum() == pytest.approx((wanted > 0).sum(), rel=0.01)


def test_dice_of_masks_is_their_share_in_common() -> None:
    first, second = np.array([True, True, False, False]), np.array([False, True, True, True])
    assert mask_dice(first, second) == pytest.approx(2 / 5)
    assert mask_dice(first, ~first) == 0.0
    assert mask_dice(np.zeros(3, bool), np.zeros(3, bool)) is None
