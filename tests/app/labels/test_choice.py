"""Labels are chosen in the same way in every command."""

from __future__ import annotations

import re

import pytest

from hybridseg.app.labels.choice import choose_labels

NAMES = {1: "spleen", 2: "left, lower lobe", 3: "3D"}


@pytest.mark.parametrize(
    ("texts", "chosen"),
    [
        ((), {}),
        (("spleen",), {1: "spleen"}),
        (("1,3",), {1: "spleen", 3: "3D"}),
        (("left, lower lobe", "3D"), {2: "left, lower lobe", 3: "3D"}),
        (("1=milza", "7=liver"), {1: "milza", 7: "liver"}),
    ],
)
def test_labels_are_names_numbers_or_both(texts: tuple[str, ...], chosen: dict[int, str]) -> None:
    assert choose_labels(texts, NAMES) == chosen


def test_without_names_numbers_are_names() -> None:
    assert choose_labels(("2", "1=liver"), {}) == {2: "2", 1: "liver"}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("lung",), "labels: 'lung': must be one of spleen, left, lower lobe, 3D"),
        (("4",), "labels: '4': must be one of spleen"),
        (("0=air",), "labels: '0=air': must be one of"),
        (("1", "spleen"), "labels: label 1: must be given once"),
        (("7=spleen", "1"), "labels: name spleen: must be given once"),
    ],
)
def test_unknown_and_repeated_labels_are_errors(texts: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        choose_labels(texts, NAMES)
