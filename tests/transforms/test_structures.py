"""Labels get codes and colours by their names, in any order of words; a bundle's own come first."""

from __future__ import annotations

import pytest
from pydicom.sr.codedict import codes

from hybridseg.transforms.structures import (
    ABNORMAL_STRUCTURES,
    ANATOMICAL_STRUCTURES,
    COLOURS,
    describe_structures,
    find_codes,
    label_colours,
)

LISTED = ANATOMICAL_STRUCTURES | ABNORMAL_STRUCTURES


def test_listed_codes_are_those_of_pydicom() -> None:
    keywords = {name: "".join(word.capitalize() for word in LISTED[name][1].split()) for name in LISTED}
    known = {name: getattr(codes.SCT, word) for name, word in keywords.items() if hasattr(codes.SCT, word)}
    assert len(known) > 0.9 * len(LISTED)
    assert {name: code.value for name, code in known.items()} == {name: LISTED[name][0] for name in known}


@pytest.mark.parametrize("name", LISTED)
def test_listed_colour_is_bright_enough_on_black(name: str) -> None:
    assert max(bytes.fromhex(LISTED[name][2].removeprefix("#"))) > 150


@pytest.mark.parametrize("name", ["kidney_left", "left kidney", "Left Kidney", "kidney-left"])
def test_side_may_stand_anywhere_in_a_name(name: str) -> None:
    found = find_codes(name)
    assert found.type == ("64033007", "SCT", "Kidney")
    assert found.modifier == ("7771000", "SCT", "Left")


def test_left_and_right_differ_in_brightness_only() -> None:
    left, right = describe_structures({1: "kidney_left", 2: "kidney_right"})
    assert all(round(0.78 * bright) == dark for bright, dark in zip(left.rgb, right.rgb, strict=True))


def test_synonym_has_the_codes_of_the_structure() -> None:
    assert find_codes("urinary_bladder") == find_codes("bladder")


def test_unknown_name_has_a_private_code_and_a_colour_by_its_place() -> None:
    (structure,) = describe_structures({3: "Region 7"})
    assert structure.codes.type == ("REGION_7", "99HYBRIDSEG", "Region 7")
    assert not structure.is_coded
    assert label_colours(f"region {index}" for index in range(12)) == [*COLOURS, *COLOURS[:2]]


def test_codes_and_colours_of_a_bundle_come_first() -> None:
    given = {2: {"type": ["5366008", "SCT", "Hippocampus"], "modifier": ["255549009", "SCT", "Anterior"]}}
    one, two = describe_structures({2: "anterior", 1: "liver"}, given, {"liver": "#010203"})
    assert (one.label, one.rgb) == (1, (1, 2, 3))
    assert two.codes.type[2] == "Hippocampus"
    assert two.codes.category[2] == "Anatomical Structure"
    assert two.codes.modifier == ("255549009", "SCT", "Anterior")
