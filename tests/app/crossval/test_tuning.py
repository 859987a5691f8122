"""Postprocessing is kept only where it gains on patients that did not choose it."""

from __future__ import annotations

import numpy as np
import pytest

from hybridseg.app.crossval.out_of_fold import overlap
from hybridseg.app.crossval.split import Split
from hybridseg.app.crossval.tuning import (
    Part,
    PartComponents,
    Tuning,
    candidate_rules,
    choose,
    decide_components,
    list_parts,
    measure_components,
)
from hybridseg.transforms.components import ComponentRule

PART = Part("tumour", [1])
CASES = [f"case_{index}" for index in range(12)]
SPLIT = Split(folds=[CASES[:4], CASES[4:8], CASES[8:]], test=[], patients={case: case for case in CASES})


def components(*sizes: tuple[int, int], reference: int = 100) -> PartComponents:
    """The components of a case, each with its voxels and those that are right."""
    voxels, overlap = zip(*sizes, strict=True)
    return PartComponents(np.array(voxels), np.array(voxels), np.array(overlap), reference, 2.0)


def test_dice_of_a_rule_is_that_of_the_cleaned_label_map() -> None:
    found = components((100, 90), (10, 0), (4, 0))
    assert found.dice() == 2 * 90 / 214
    assert found.dice(ComponentRule(labels=[1], smallest_mm3=9)) == 2 * 90 / 210
    assert found.dice(ComponentRule(labels=[1], largest=True)) == 2 * 90 / 200
    assert components((5, 0), reference=0).dice(ComponentRule(labels=[1], smallest_mm3=99)) == 1.0


def test_components_and_overlaps_are_counted() -> None:
    prediction = np.array([1, 1, 0, 1, 0, 2, 1], dtype=np.uint8)[:, None, None]
    reference = np.array([0, 1, 1, 1, 0, 0, 0], dtype=np.uint8)[:, None, None]
    found = measure_components(prediction, reference, PART, 1.0)
    assert (found.voxels.tolist(), found.overlap.tolist(), found.reference) == ([2, 1, 1], [1, 1, 0], 3)


def test_voxels_without_annotation_do_not_count() -> None:
    prediction = np.array([1, 1, 1, 0, 1, 0, 1], dtype=np.uint8)[:, None, None]
    reference = np.array([1, 9, 9, 1, 9, 0, 0], dtype=np.uint8)[:, None, None]
    found = measure_components(prediction, reference, PART, 1.0, ignore=9)
    assert (found.voxels.tolist(), found.annotated.tolist(), found.overlap.tolist()) == (
        [3, 1, 1],
        [1, 0, 1],
        [1, 0, 0],
    )
    assert found.dice() == overlap(prediction, reference, PART, ignore=9) == 2 * 1 / (2 + 2)
    assert {rule.smallest_mm3 for rule in candidate_rules(PART, [found])} == {0.0, 1.1}


def test_rule_that_removes_false_components_is_kept() -> None:
    measured = {case: components((100, 95), (20, 0)) for case in CASES}
    (decision,) = decide_components([PART], {"tumour": measured}, SPLIT)
    assert decision.kept
    assert decision.p < 0.001
    assert decision.gain == pytest.approx(2 * 95 / 200 - 2 * 95 / 220)
    assert Tuning(components=[decision]).options == {"components": [{"labels": [1], "largest": True}]}


def test_rule_that_removes_lesions_is_not_kept() -> None:
    measured = {case: components((60, 50), (40, 40)) for case in CASES}
    (decision,) = decide_components([PART], {"tumour": measured}, SPLIT)
    assert (decision.choice, decision.kept) == (None, False)


def test_small_lesions_stay_where_only_smaller_components_are_false() -> None:
    measured = {case: components((60, 50), (40, 40), (3, 0), (2, 0)) for case in CASES}
    (decision,) = decide_components([PART], {"tumour": measured}, SPLIT)
    assert decision.kept
    assert decision.choice == {"labels": [1], "smallest_mm3": 6.1}


def test_gain_in_a_few_patients_is_not_kept() -> None:
    measured = {case: components((100, 95)) for case in CASES} | {
        case: components((100, 95), (20, 0)) for case in (CASES[0], CASES[5])
    }
    (decision,) = decide_components([PART], {"tumour": measured}, SPLIT)
    assert decision.choice is not None
    assert (decision.kept, decision.p) == (False, 0.25)


def test_choice_is_tested_on_patients_that_did_not_make_it() -> None:
    before = dict.fromkeys(CASES, 0.5)
    lucky = [{case: 0.9 if case in fold else 0.4 for case in CASES} for fold in SPLIT.folds]
    index, gain, p = choose(before, lucky, SPLIT)
    assert index in (0, 1, 2)  # each candidate has the same mean over all, above 0.5
    assert gain < 0
    assert p == 1.0


def test_candidates_are_just_above_the_volumes_of_false_components() -> None:
    rules = candidate_rules(PART, [components((100, 95), (7, 0)), components((90, 0), (50, 40))])
    assert [rule.smallest_mm3 for rule in rules] == [0.0, 98.0, 170.0, 190.0]


def test_removed_part_of_a_region_gets_the_label_around_it() -> None:
    regions = {"whole": [1, 2, 3], "core": [2, 3], "enhancing": [3], "other": [4]}
    assert [(part.name, part.becomes) for part in list_parts({}, regions)] == [
        ("whole", 0),
        ("core", 1),
        ("enhancing", 2),
        ("other", 0),
    ]
