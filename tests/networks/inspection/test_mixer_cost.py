"""The table of mixers in the documentation is that of the registry, and every mixer cites a paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybridseg.networks import MIXERS
from hybridseg.networks.inspection import describe_mixer, mixer_table
from hybridseg.networks.inspection.mixer_cost import has_heads

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "mixers.md"


def test_documented_table_is_that_of_the_registry():
    assert mixer_table() in PAGE.read_text(encoding="utf-8")


def test_costs_of_convolutions_are_counted():
    found = describe_mixer("conv")
    assert found.multiply_adds == pytest.approx(found.parameters * 8**3, rel=0.01)


def test_options_of_base_classes_count():
    assert {name for name in MIXERS if not has_heads(MIXERS[name])} >= {"conv", "pooling", "scan", "hyena"}
    assert all(has_heads(MIXERS[name]) for name in ("window", "window_channel", "rotary", "linear"))
