"""Stems downsample by the stride that they publish."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hybridseg.networks import STEMS, BlockContext, create_model

OPTIONS: dict[str, dict[str, Any]] = {
    "conv": {"layers": 2},
    "levit": {"stride": (1, 2, 4)},
    "grouped": {"layers": 4},
    "patch": {"patch": (1, 2, 4)},
}


@pytest.mark.parametrize("name", STEMS)
def test_features_have_the_published_stride(name):
    stem = STEMS[name](2, BlockContext(16), **OPTIONS[name])
    assert stem.stride == ((1, 1, 1) if name in ("conv", "grouped") else (1, 2, 4))
    size = tuple(8 // s for s in stem.stride)
    assert stem(torch.zeros(1, 2, 8, 8, 8)).shape == (1, 16, *size)


def test_stride_of_the_stem_counts_in_the_network():
    assert create_model("tiny", in_channels=1, out_channels=2, stem="patch").stride == (16, 16, 16)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("levit", {"stride": 3}, "stride: 3: must be powers of two"),
        ("levit", {"stride": 32}, "stride: 32: 16, half of it, must divide 8 channels"),
        ("grouped", {"groups": 3}, "groups: 3: must divide 8 channels"),
        ("conv", {"layers": 0}, "layers: 0: must be a positive integer"),
        ("patch", {"patch": (2, 2)}, r"patch: \(2, 2\): must be one integer or three"),
    ],
)
def test_invalid_options_raise(name, options, message):
    with pytest.raises(ValueError, match=message):
        STEMS[name](1, BlockContext(8), **options)
