"""Parts are built from names, mappings and dotted paths; invalid ones raise a one-line error."""

from __future__ import annotations

import re

import pytest
from torch import nn

from hybridseg.app.benchmarks.ablated_mixers import DepthwiseMixer
from hybridseg.networks import MIXERS, BlockContext, Mixer
from hybridseg.networks.mixers import ConvMixer, WindowMixer
from hybridseg.networks.registry import build

CONTEXT = BlockContext(8)
NAMES = ", ".join(sorted(MIXERS))
OUTSIDE = "hybridseg.app.benchmarks.ablated_mixers.DepthwiseMixer"


def test_name_builds_the_known_class():
    assert isinstance(build("conv", MIXERS, Mixer, "mixers", CONTEXT), ConvMixer)


def test_mapping_passes_options():
    mixer = build({"name": "window", "heads": 2, "window": 3}, MIXERS, Mixer, "mixers", CONTEXT)
    assert isinstance(mixer, WindowMixer)
    assert (mixer.heads, mixer.window) == (2, (3, 3, 3))


def test_dotted_path_builds_a_class_from_outside():
    mixer = build({"name": OUTSIDE, "extent": 3}, MIXERS, Mixer, "mixers", CONTEXT)
    assert isinstance(mixer, DepthwiseMixer)
    assert mixer.depthwise.kernel_size == (3, 3, 3)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (None, "mixers: None: must be a name, or a mapping of name and options"),
        ([], "mixers: []: must be a name, or a mapping of name and options"),
        (3, "mixers: 3: must be a name, or a mapping of name and options"),
        ({}, f"mixers: '': must be one of {NAMES}, or the dotted path of a class"),
        ("fourier", f"mixers: 'fourier': must be one of {NAMES}, or the dotted path"),
        ("nowhere.Mixer", "mixers: 'nowhere.Mixer': cannot be imported: No module named 'nowhere'"),
        ("..Mixer", "mixers: '..Mixer': cannot be imported: "),
        ("torch.nn.Nothing", "mixers: 'torch.nn.Nothing': cannot be imported: "),
        ("torch.nn.Identity", "mixers: 'torch.nn.Identity': must be a class derived from Mixer"),
        ("torch.nn.functional.gelu", "mixers: 'torch.nn.functional.gelu': must be a class derived from Mixer"),
        ("hybridseg.networks.Mixer", "mixers: 'hybridseg.networks.Mixer': Can't instantiate abstract class Mixer"),
        ("window", "mixers: 'window': WindowMixer.__init__() missing 1 required keyword-only argument: 'heads'"),
        ({"name": "conv", "heads": 2}, "ConvMixer.__init__() got an unexpected keyword argument 'heads'"),
        ({"name": "conv", "context": 2}, "ConvMixer.__init__() got multiple values for argument 'context'"),
    ],
    ids=str,
)
def test_invalid_parts_raise_a_one_line_error(part, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        build(part, MIXERS, Mixer, "mixers", CONTEXT)
    assert "\n" not in str(caught.value)


def test_error_names_the_field_and_the_base_class():
    with pytest.raises(
        ValueError, match=r"feed_forward: 'torch\.nn\.functional\.relu': must be a class derived from Mod"
    ):
        build("torch.nn.functional.relu", {}, nn.Module, "feed_forward", CONTEXT)
