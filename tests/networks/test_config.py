"""Invalid fields raise an error that names field, value and rule."""

from __future__ import annotations

import pytest

from hybridseg.networks import create_model

WINDOW = {"name": "window", "heads": 2}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"in_channels": 0}, "in_channels: 0: must be a positive integer"),
        ({"depths": (1, 2)}, "depths: 2 entries: must have one per stage, 3 as in channels"),
        ({"mixers": "conv"}, "mixers: 'conv': must be a list with one entry per stage"),
        ({"strides": (2, 2, (2, 2))}, r"strides: \(2, 2\): must be one integer or three"),
        ({"stem_kernel": 2}, "stem_kernel: 2: must be odd"),
        ({"kernels": (3, 3)}, "kernels: 2 entries: must have one per stage, 3 as in channels"),
        ({"kernels": (3, 3, (3, 4, 3))}, r"kernels: \(3, 4, 3\): must be odd"),
        ({"fusion": ("add", "add")}, "fusion: 2 entries: must have one per stage, 3 as in channels"),
        ({"drop_path": 1}, "drop_path: 1: must be at least 0 and below 1"),
        ({"dropout": -0.1}, "dropout: -0.1: must be at least 0 and below 1"),
        ({"layer_scale": -1}, "layer_scale: -1: must be a number of at least 0"),
        ({"layer_scale": float("nan")}, "layer_scale: nan: must be a number of at least 0"),
        ({"decoder_depths": 0}, "decoder_depths: 0: must be a positive integer"),
        ({"deep_supervision": "no"}, "deep_supervision: 'no': must be true or false"),
    ],
)
def test_invalid_values_raise(overrides, message):
    with pytest.raises(ValueError, match=message):
        create_model("tiny", **{"in_channels": 1, "out_channels": 2, **overrides})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"stem": "patchwork"}, "stem: 'patchwork': must be one of conv, grouped, levit, patch"),
        ({"stem": 3}, "stem: 3: must be a name, or a mapping of name and options"),
        ({"stem": ["conv"]}, r"stem: \['conv'\]: must be a name, or a mapping"),
        ({"stem": {"name": "conv", "kernel": 3}}, "stem: .*unexpected keyword argument 'kernel'"),
        (
            {"mixers": ("conv", "conv", "torch.nn.Identity")},
            "mixers: 'torch.nn.Identity': must be a class derived from",
        ),
        ({"mixers": ("conv", "conv", [])}, r"mixers: \[\]: must be a name, or a mapping of name and options"),
        ({"mixers": ("conv", "conv", ["conv", ["conv"]])}, r"mixers: \['conv'\]: must be a name, or a mapping"),
        ({"mixers": ("conv", "conv", {**WINDOW, "heads": 5})}, "heads: 5: must divide 96 channels"),
        ({"mixers": ("conv", "conv", {**WINDOW, "projection": "cubic"})}, "projection: 'cubic'"),
        ({"mixers": ("conv", "conv", {**WINDOW, "locality": -1.0})}, "locality: -1.0: must be a number of at least 0"),
        ({"mixers": ("conv", "conv", {**WINDOW, "locality": "1"})}, "locality: '1': must be a number of at least 0"),
        ({"mixers": ("conv", "conv", {"name": "gated", "heads": 2, "locality": -1})}, "locality: -1: must be a number"),
        ({"mixers": ("conv", "conv", {"name": "relative", "heads": 2, "extent": 0})}, "extent: 0: must be a positive"),
        ({"mixers": ("conv", "conv", {"name": "rotary", "heads": 32})}, "heads: 32: 3 channels each: must be an even"),
        ({"feed_forward": None}, "feed_forward: None: must be a name, or a mapping"),
        ({"feed_forward": {"name": "linear", "expansion": 0.5}}, "expansion: 0.5: must be a positive integer"),
        ({"downsampling": {"name": "grouped", "groups": 5}}, "groups: 5: must divide 8 channels"),
        ({"fusion": 3}, "fusion: 3: must be a name, or a mapping"),
        ({"fusion": {"name": "attention", "heads": 3}}, "heads: 3: must divide 8 channels"),
    ],
)
def test_invalid_parts_raise(overrides, message):
    with pytest.raises(ValueError, match=message):
        create_model("tiny", in_channels=1, out_channels=2, **overrides)
