"""Attention maps show the weights that the network uses."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from hybridseg.networks import HybridSwinUNETR, create_model
from hybridseg.networks.inspection.attention_map import AttentionMap, attention_map, attention_weights
from hybridseg.networks.mixers import BlockContext, RelativeMixer, RotaryMixer, WindowMixer


@pytest.fixture
def network() -> HybridSwinUNETR:
    return create_model("tiny", in_channels=1, out_channels=2).eval()


@pytest.mark.parametrize("size", [(4, 3, 4), (7, 5, 4)], ids=["one window along an axis", "padded"])
@pytest.mark.parametrize("options", [{}, {"similarity": "cosine"}, {"projection": "depthwise"}], ids=str)
@pytest.mark.parametrize("index", [0, 1], ids=["unshifted", "shifted"])
def test_weights_reproduce_windowed_attention(size, options, index):
    mixer = WindowMixer(BlockContext(6, index=index), heads=2, window=3, **options)
    nn.init.normal_(mixer.bias_table)
    check(mixer, size)


@pytest.mark.parametrize("size", [(3, 3, 3), (2, 5, 4)])
def test_weights_reproduce_relative_attention(size):
    mixer = RelativeMixer(BlockContext(6), heads=2, extent=3)
    nn.init.normal_(mixer.bias_table)
    check(mixer, size)


def test_weights_reproduce_rotary_attention():
    check(RotaryMixer(BlockContext(12), heads=2), (2, 5, 4))


@torch.no_grad()
def check(mixer, size):
    """Check at each voxel that weights times values, projected, equal the mixer's output."""
    channels = mixer.projection.in_features
    x = torch.randn(1, channels, *size)
    values = mixer.query_key_value(mixer.norm(x.movedim(1, -1)))[0, ..., 2 * channels :].unflatten(-1, (2, -1))
    output = mixer(x)[0]
    for voxel in itertools.product(range(size[0]), range(size[1]), range(size[2])):
        weights = attention_weights(mixer, x, mixer.windows(size), voxel)
        torch.testing.assert_close(weights.sum(dim=(1, 2, 3)), torch.ones(2))
        mixed = torch.einsum("hxyz,xyzhc->hc", weights, values)
        expected = mixer.projection(mixed.flatten())
        torch.testing.assert_close(output[(slice(None), *voxel)], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("block", [0, 1])
def test_query_attends_exactly_to_its_window(network, block):
    shown = attention_map(network, torch.randn(1, 1, 60, 100, 40), (59, 50, 0), block=block)
    assert shown.query == (7, 6, 0)
    assert shown.stride == (8, 8, 8)
    own = shown.windows == shown.windows[shown.query]
    assert torch.equal(shown.weights > 0, own.expand_as(shown.weights))
    assert own.sum() < own.numel()


def test_map_uses_the_input_of_the_block(network):
    image = torch.randn(1, 1, 48, 48, 48)
    first, second = (attention_map(network, given, (20, 20, 20)).weights for given in (image, image.flip(2)))
    assert not torch.allclose(first, second)
    mixer = network.encoder.stages[2].get_submodule("blocks.0.mixer")
    inputs = []
    with mixer.register_forward_pre_hook(lambda _, given: inputs.append(given[0])), torch.no_grad():
        network(image)
    expected = attention_weights(mixer, inputs[0], mixer.windows((6, 6, 6)), (2, 2, 2))
    torch.testing.assert_close(first, expected)


def test_spread_and_distance_follow_from_the_weights():
    """The first head attends to one neighbour only, the second to the query and a voxel two away."""
    weights = torch.zeros(2, 4, 3, 3)
    weights[0, 1, 2, 1] = 1
    weights[1, 1, 1, 1] = weights[1, 3, 1, 1] = 0.5
    shown = AttentionMap(weights, torch.zeros(4, 3, 3), (1, 1, 1), (8, 8, 4))
    torch.testing.assert_close(shown.spread(), torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(shown.distance(), torch.tensor([8.0, 8.0]))
    torch.testing.assert_close(shown.distance((2.0, 0.5, 1.0)), torch.tensor([4.0, 16.0]))


@pytest.mark.parametrize(
    ("shape", "voxel", "options", "message"),
    [
        ((2, 1, 16, 16, 16), (0, 0, 0), {}, r"image: shape \(2, 1, 16, 16, 16\): must be \(1, C, D, H, W\)"),
        (
            (1, 1, 16, 16, 16),
            (0, 16, 0),
            {},
            r"voxel: \(0, 16, 0\): must lie within the image of \(16, 16, 16\) voxels",
        ),
        ((1, 1, 16, 16, 16), (0, 0), {}, r"voxel: \(0, 0\): must lie within"),
        ((1, 1, 16, 16, 16), (0, 0, 0), {"stage": 3}, r"stage: 3: the network has 3: must be -3 to 2"),
        ((1, 1, 16, 16, 16), (0, 0, 0), {"block": 2}, r"block: 2: the stage has 2: must be 0 to 1"),
        ((1, 1, 16, 16, 16), (0, 0, 0), {"stage": 0}, r"stage: 0: ConvMixer: must have window, relative or"),
    ],
)
def test_invalid_arguments_raise(network, shape, voxel, options, message):
    with pytest.raises(ValueError, match=message):
        attention_map(network, torch.zeros(shape), voxel, **options)
