"""Scores equal those computed by hand, and empty labels are counted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

from hybridseg.app.evaluation.metrics import LabelScore, score_case

SPACING = (2.0, 1.5, 3.0)


def box(*sides: tuple[int, int]) -> NDArray[np.uint8]:
    """Return labels (20, 20, 20) that are 1 in a box."""
    labels = np.zeros((20, 20, 20), dtype=np.uint8)
    labels[tuple(slice(*side) for side in sides)] = 1
    return labels


def score(prediction: NDArray[np.uint8], reference: NDArray[np.uint8], tolerance: float = 1.0) -> LabelScore:
    """Return the score of label 1 at `SPACING`."""
    (only,) = score_case(prediction, reference, spacing=SPACING, label_names={1: "box"}, tolerance=tolerance)
    return only


def test_identical_label_maps_score_perfectly() -> None:
    labels = box((3, 9), (4, 12), (5, 10))
    perfect = score(labels, labels)
    assert (perfect.outcome, perfect.dice, perfect.surface_dice, perfect.hd95) == ("found", 1.0, 1.0, 0.0)
    assert (perfect.assd, perfect.volume_difference_ml) == (0.0, 0.0)
    assert perfect.reference_voxels == perfect.prediction_voxels == 6 * 8 * 5


@pytest.mark.parametrize(("axis", "millimetres"), [*enumerate(SPACING)])
def test_shifted_box_scores_as_computed_by_hand(axis: int, millimetres: float) -> None:
    reference = box((3, 13), (3, 13), (3, 13))
    shifted = score(np.roll(reference, 1, axis), reference, tolerance=millimetres)
    assert shifted.dice == pytest.approx(2 * 9 * 100 / 2000)
    assert shifted.hd95 == pytest.approx(millimetres)
    assert shifted.surface_dice == 1.0


@pytest.mark.parametrize(("axis", "millimetres"), [*enumerate(SPACING)])
def test_shift_beyond_the_tolerance_lowers_the_surface_dice(axis: int, millimetres: float) -> None:
    reference = box((3, 17), (3, 17), (3, 17))
    shifted = score(np.roll(reference, 1, axis), reference, tolerance=0.9 * millimetres)
    areas = [math.prod(SPACING) / length for length in SPACING]  # of a voxel's faces; the two along the axis are off
    assert shifted.surface_dice == pytest.approx(1 - areas[axis] / sum(areas), abs=0.05)  # edges count a little more


def test_hd95_ignores_a_single_far_voxel() -> None:
    reference = box((3, 13), (3, 13), (3, 13))
    prediction = reference.copy()
    prediction[18, 18, 18] = 1
    assert score(prediction, reference).hd95 == 0.0


def test_distances_are_in_mm_along_each_axis() -> None:
    reference, prediction = box((5, 6), (5, 6), (5, 6)), box((7, 8), (9, 10), (11, 12))
    assert score(prediction, reference).hd95 == pytest.approx(math.hypot(2 * 2.0, 4 * 1.5, 6 * 3.0))


@pytest.mark.parametrize(("axis", "millimetres"), [*enumerate(SPACING)])
def test_distance_of_parallel_plates_is_their_gap(axis: int, millimetres: float) -> None:
    sides = [(2, 18)] * 3
    reference, prediction = (box(*sides[:axis], (place, place + 1), *sides[axis + 1 :]) for place in (4, 9))
    apart = score(prediction, reference)
    assert (apart.assd, apart.hd95) == pytest.approx((5 * millimetres, 5 * millimetres))


def test_assd_pools_the_surface_voxels_of_both_masks() -> None:
    reference, prediction = box((5, 6), (5, 6), (5, 6)), box((5, 8), (5, 6), (5, 6))
    # 0, 2 and 4 mm from the prediction's voxels and 0 mm back; the mean of the two means would be 1 mm.
    assert score(prediction, reference).assd == pytest.approx((0 + 2 + 4 + 0) / 4)


def test_surface_distances_equal_those_of_all_voxel_pairs() -> None:
    noise = np.random.default_rng(0).normal(size=(2, 20, 20, 20))
    first, second = (gaussian_filter(one, 2.5) > 0.02 for one in noise)
    there = cdist(surface(first), surface(second))
    nearest = (there.min(axis=1), there.min(axis=0))
    measured = score(first.astype(np.uint8), second.astype(np.uint8))
    assert measured.hd95 == pytest.approx(max(np.percentile(one_way, 95) for one_way in nearest))
    assert measured.assd == pytest.approx(np.concatenate(nearest).mean())
    assert np.concatenate(nearest).mean() > 1  # the two are far from equal


def surface(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the positions (N, 3) of the surface voxels of a mask, in mm at `SPACING`."""
    padded = np.pad(mask, 1)
    inside = np.all([np.roll(padded, step, axis) for step in (-1, 1) for axis in range(3)], axis=0)
    return np.argwhere(padded & ~inside).astype(np.float64) * np.array(SPACING)


def test_volumes_are_in_ml_and_their_difference_is_signed() -> None:
    small, large = box((3, 6), (3, 6), (3, 6)), box((3, 13), (3, 13), (3, 13))
    under, over = score(small, large), score(large, small)
    assert (under.reference_ml, under.prediction_ml) == pytest.approx((1000 * 9 / 1000, 27 * 9 / 1000))
    assert under.volume_difference_ml == pytest.approx(-973 * 9 / 1000)
    assert over.volume_difference_ml == pytest.approx(973 * 9 / 1000)


def test_volumes_on_a_sheared_grid_use_the_voxel_volume() -> None:
    labels = box((3, 6), (3, 6), (3, 6))
    sheared = np.array([[2, 1, 0, 0], [0, 1.5, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1.0]])
    (measured,) = score_case(labels, labels, affine=sheared)
    assert measured.reference_ml == pytest.approx(27 * 9 / 1000)


def test_outcomes_of_empty_labels() -> None:
    empty, full = np.zeros((20, 20, 20), dtype=np.uint8), box((3, 6), (3, 6), (3, 6))
    missed, false, absent = score(empty, full), score(full, empty), score(empty, empty)
    assert (missed.outcome, missed.dice, missed.surface_dice, missed.hd95) == ("missed", 0.0, 0.0, None)
    assert (false.outcome, false.dice, false.surface_dice, false.hd95) == ("false", 0.0, 0.0, None)
    assert (absent.outcome, absent.dice, absent.surface_dice, absent.hd95) == ("absent", None, None, None)
    assert (missed.reference_voxels, missed.prediction_voxels) == (27, 0)
    assert missed.assd is false.assd is absent.assd is None
    assert (missed.reference_ml, missed.prediction_ml, missed.volume_difference_ml) == (0.243, 0.0, -0.243)
    assert (false.reference_ml, false.prediction_ml, false.volume_difference_ml) == (0.0, 0.243, 0.243)
    assert absent.reference_ml is absent.prediction_ml is absent.volume_difference_ml is None


def test_all_labels_of_both_maps_are_scored_by_default() -> None:
    prediction, reference = box((3, 6), (3, 6), (3, 6)), 4 * box((3, 6), (3, 6), (3, 6))
    found = score_case(prediction, reference, spacing=SPACING)
    assert [(one.label, one.name, one.outcome) for one in found] == [(1, "1", "false"), (4, "4", "missed")]


def test_labels_are_scored_independently() -> None:
    one, two = box((2, 6), (2, 6), (2, 6)), 2 * box((10, 14), (10, 14), (10, 14))
    names = {1: "one", 2: "two"}
    first, second = score_case(one + two, one + np.roll(two, 1, 0), spacing=SPACING, label_names=names)
    assert first.dice == 1.0
    assert second.dice == pytest.approx(0.75)


def test_mask_at_the_border_of_the_volume_is_scored() -> None:
    labels = box((0, 20), (0, 20), (0, 20))
    assert score(labels, labels).surface_dice == 1.0


def test_spacing_may_contain_integers() -> None:
    reference = box((3, 13), (3, 13), (3, 13))
    (shifted,) = score_case(np.roll(reference, 1, 0), reference, spacing=(2, 1.5, 3), label_names={1: "box"})
    assert shifted.hd95 == 2.0


def test_label_maps_of_different_shapes_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"prediction: shape \(2, 2, 3\): must be that of the reference"):
        score_case(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 2), np.uint8), spacing=SPACING)


def test_scoring_the_background_is_an_error() -> None:
    with pytest.raises(ValueError, match="label_names: 0: labels are numbered from 1"):
        score_case(
            np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 2), np.uint8), spacing=SPACING, label_names={0: "air"}
        )


def test_voxels_without_annotation_count_for_nothing() -> None:
    reference, prediction = box((3, 9), (4, 12), (5, 10)), box((3, 9), (4, 12), (5, 10))
    prediction[14:18] = 1
    reference[13:] = 255
    (found,) = score_case(prediction, reference, spacing=SPACING, ignore=255)
    assert (found.label, found.dice, found.surface_dice, found.hd95) == (1, 1.0, 1.0, 0.0)
    assert found.prediction_voxels == found.reference_voxels == 6 * 8 * 5


@pytest.mark.parametrize("cut", [6, 9])
def test_surfaces_that_end_at_missing_annotation_have_no_distance(cut: int) -> None:
    reference, prediction = box((3, 9), (4, 12), (5, 10)), box((2, 9), (4, 12), (5, 10))
    reference[cut:] = 255
    (found,) = score_case(prediction, reference, spacing=SPACING, label_names={1: "box"}, ignore=255)
    length = cut - 3
    assert found.dice == pytest.approx(2 * length / (2 * length + 1), abs=1e-6)
    assert (found.surface_dice, found.hd95, found.assd) == (None, None, None)
    assert found.volume_difference_ml == pytest.approx(8 * 5 * math.prod(SPACING) / 1000)


def test_label_that_is_nowhere_annotated_is_absent() -> None:
    reference = np.full((4, 4, 4), 255, dtype=np.uint8)
    (found,) = score_case(np.ones((4, 4, 4), np.uint8), reference, label_names={1: "box"}, ignore=255)
    assert (found.outcome, found.dice) == ("absent", None)
