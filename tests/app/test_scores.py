"""Scores agree with what is computed by hand, and empty labels are counted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from hybridseg.app.scores import LabelScore, Spread, score_case, summarise

SPACING = (2.0, 1.5, 3.0)


def box(*sides: tuple[int, int]) -> NDArray[np.uint8]:
    """Labels (20, 20, 20) that are 1 in a box."""
    labels = np.zeros((20, 20, 20), dtype=np.uint8)
    labels[tuple(slice(*side) for side in sides)] = 1
    return labels


def score(prediction: NDArray[np.uint8], reference: NDArray[np.uint8], tolerance: float = 1.0) -> LabelScore:
    """The score of label 1 at `SPACING`."""
    (only,) = score_case(prediction, reference, spacing=SPACING, label_names={1: "box"}, tolerance=tolerance)
    return only


def test_the_same_map_is_perfect() -> None:
    labels = box((3, 9), (4, 12), (5, 10))
    perfect = score(labels, labels)
    assert (perfect.outcome, perfect.dice, perfect.surface_dice, perfect.hd95) == ("found", 1.0, 1.0, 0.0)
    assert perfect.reference_voxels == perfect.prediction_voxels == 6 * 8 * 5


@pytest.mark.parametrize(("axis", "millimetres"), [*enumerate(SPACING)])
def test_a_shifted_box_is_as_computed_by_hand(axis: int, millimetres: float) -> None:
    reference = box((3, 13), (3, 13), (3, 13))
    shifted = score(np.roll(reference, 1, axis), reference, tolerance=millimetres)
    assert shifted.dice == pytest.approx(2 * 9 * 100 / 2000)
    assert shifted.hd95 == pytest.approx(millimetres)
    assert shifted.surface_dice == 1.0


@pytest.mark.parametrize(("axis", "millimetres"), [*enumerate(SPACING)])
def test_below_the_tolerance_the_shifted_faces_disagree(axis: int, millimetres: float) -> None:
    reference = box((3, 17), (3, 17), (3, 17))
    shifted = score(np.roll(reference, 1, axis), reference, tolerance=0.9 * millimetres)
    areas = [math.prod(SPACING) / length for length in SPACING]  # of a voxel's faces; the two shifted ones are off
    assert shifted.surface_dice == pytest.approx(1 - areas[axis] / sum(areas), abs=0.05)  # edges count a little more


def test_a_far_voxel_is_an_outlier_for_hd95() -> None:
    reference = box((3, 13), (3, 13), (3, 13))
    prediction = reference.copy()
    prediction[18, 18, 18] = 1
    assert score(prediction, reference).hd95 == 0.0


def test_distances_are_in_millimetres_along_each_axis() -> None:
    reference, prediction = box((5, 6), (5, 6), (5, 6)), box((7, 8), (9, 10), (11, 12))
    assert score(prediction, reference).hd95 == pytest.approx(math.hypot(2 * 2.0, 4 * 1.5, 6 * 3.0))


def test_empty_labels_are_named_and_never_nan() -> None:
    empty, full = np.zeros((20, 20, 20), dtype=np.uint8), box((3, 6), (3, 6), (3, 6))
    missed, false, absent = score(empty, full), score(full, empty), score(empty, empty)
    assert (missed.outcome, missed.dice, missed.surface_dice, missed.hd95) == ("missed", 0.0, 0.0, None)
    assert (false.outcome, false.dice, false.surface_dice, false.hd95) == ("false", 0.0, 0.0, None)
    assert (absent.outcome, absent.dice, absent.surface_dice, absent.hd95) == ("absent", None, None, None)
    assert (missed.reference_voxels, missed.prediction_voxels) == (27, 0)


def test_without_names_all_labels_of_both_maps_are_scored() -> None:
    prediction, reference = box((3, 6), (3, 6), (3, 6)), 4 * box((3, 6), (3, 6), (3, 6))
    scores = score_case(prediction, reference, spacing=SPACING)
    assert [(one.label, one.name, one.outcome) for one in scores] == [(1, "1", "false"), (4, "4", "missed")]


def test_labels_do_not_mix() -> None:
    one, two = box((2, 6), (2, 6), (2, 6)), 2 * box((10, 14), (10, 14), (10, 14))
    names = {1: "one", 2: "two"}
    first, second = score_case(one + two, one + np.roll(two, 1, 0), spacing=SPACING, label_names=names)
    assert first.dice == 1.0
    assert second.dice == pytest.approx(0.75)


def test_a_mask_that_touches_the_border_is_scored_as_any_other() -> None:
    labels = box((0, 20), (0, 20), (0, 20))
    assert score(labels, labels).surface_dice == 1.0


def test_maps_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"prediction: shape \(2, 2, 3\): must be that of the reference"):
        score_case(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 2), np.uint8), spacing=SPACING)


def test_the_background_is_refused() -> None:
    with pytest.raises(ValueError, match="label_names: 0: labels are numbered from 1"):
        score_case(
            np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 2), np.uint8), spacing=SPACING, label_names={0: "air"}
        )


def test_a_summary_counts_misses_instead_of_averaging_them_away() -> None:
    empty, full = np.zeros((20, 20, 20), dtype=np.uint8), box((3, 13), (3, 13), (3, 13))
    pairs = [(full, full), (np.roll(full, 1, 0), full), (empty, full), (full, empty), (empty, empty)]
    label, overall = summarise(score(*pair) for pair in pairs)
    assert (label.found, label.missed, label.false, label.absent) == (2, 1, 1, 1)
    assert label.dice.mean == pytest.approx((1 + 0.9 + 0 + 0) / 4)
    assert label.hd95.mean == pytest.approx((0 + 2) / 2)
    assert label.hd95.std == pytest.approx(1)
    assert (overall.dice, overall.name, overall.label) == (label.dice, "all labels", None)


def test_a_summary_of_nothing_has_no_mean() -> None:
    (overall,) = summarise([])
    assert overall.dice == Spread(None, None)
