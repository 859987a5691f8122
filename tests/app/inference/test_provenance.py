"""Settings are compared by what they do to voxels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hybridseg.app.inference.provenance import describe_settings, find_difference

OPTIONS = {"series": None, "overlap": None, "batch": None, "tta": False, "largest_component": False, "labels": ["a"]}


def described(bundle: Path, **options: Any) -> dict[str, Any]:
    """Describe settings with some options."""
    return describe_settings(bundle, [], {**OPTIONS, **options})


def test_overlap_and_weights_are_those_of_the_bundle_unless_set(bundle: Path) -> None:
    settings = described(bundle)
    assert settings["options"]["overlap"] == 0.5
    assert settings["checkpoints"] == [str(bundle / "models" / "model.pt")]
    assert len(settings["checkpoint_sha256"][0]) == 64


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"overlap": 0.5}, None),
        ({"batch": 7}, None),
        ({"overlap": 0.75}, ("overlap", "0.5", "0.75")),
        ({"tta": True}, ("tta", "False", "True")),
        ({"labels": ("a",)}, None),
        ({"remove_small": None}, None),
        ({"remove_small": 5.0}, ("remove_small", "None", "5.0")),
        ({"labels": ["a", "b"]}, ("labels", "a", "a, b")),
    ],
)
def test_options_that_change_voxels_are_compared(
    bundle: Path, options: dict[str, Any], difference: tuple[str, str, str] | None
) -> None:
    assert find_difference(described(bundle), described(bundle, **options)) == difference


def test_series_is_compared_for_dicom_only(bundle: Path) -> None:
    first, second = described(bundle, series="2"), described(bundle, series="3")
    assert find_difference(first, second) is None
    assert find_difference(first, second, dicom=True) == ("series", "2", "3")


def test_settings_that_one_side_lacks_are_not_compared(bundle: Path) -> None:
    settings = described(bundle)
    missing = {**settings, "checkpoint_sha256": [None]}
    assert find_difference(missing, settings) is find_difference(settings, missing) is None
    assert find_difference({"bundle": str(bundle)}, settings) is None
