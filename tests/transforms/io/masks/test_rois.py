"""Patterns of ROI names are parsed and matched."""

from __future__ import annotations

import pytest

from hybridseg.transforms.io.masks.rois import check_rois, match_rois, parse_rois


def test_patterns_keep_their_order() -> None:
    assert list(parse_rois(["CTV*=2", "a=b=1"]).items()) == [("CTV*", 2), ("a=b", 1)]


@pytest.mark.parametrize("text", ["GTV", "=1", "GTV=", "GTV=x", "GTV=-1"])
def test_other_texts_are_errors(text: str) -> None:
    with pytest.raises(ValueError, match=r"roi: .*: must be PATTERN=LABEL"):
        parse_rois([text])


def test_a_pattern_may_be_given_once() -> None:
    with pytest.raises(ValueError, match=r"roi: 'GTV': must be given once"):
        parse_rois(["GTV=1", "GTV=2"])


@pytest.mark.parametrize("rois", [{"GTV": 0}, {"GTV": 70000}, {"GTV": "1"}, {"GTV": True}])
def test_labels_are_from_1_to_65535(rois: object) -> None:
    with pytest.raises(ValueError, match=r"rois: 'GTV': .*: must be a label from 1 to 65535"):
        check_rois(rois)


def test_rois_of_a_file_are_labels_by_pattern() -> None:
    with pytest.raises(ValueError, match=r"rois: \['GTV'\]: must be labels by ROI pattern"):
        check_rois(["GTV"])


def test_a_name_with_brackets_matches_itself() -> None:
    assert match_rois("RS.dcm", ["GTV [1]", "GTV 1"], {"GTV [1]": 1}) == [(1, [0, 1])]
