"""The weights that are shown are those by which the network really attends."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from hybridseg.networks import HybridSwinUNETR, create_model
from hybridseg.networks.inspection.attention_map import AttentionMap, attention_map, attention_weights, grid_of
from hybridseg.networks.mixers.global_attention import RelativeMixer
from hybridseg.networks.mixers.window import WindowMixer


@pytest.fixture
def network() -> HybridSwinUNETR:
    return create_model("tiny", in_channels=1, out_channels=2).eval()


@pytest.mark.parametrize("size", [(4, 3, 4), (7, 5, 4)], ids=["one window along an axis", "padded"])
@pytest.mark.parametrize("options", [{}, {"similarity": "cosine"}, {"projection": "depthwise"}], ids=str)
@pytest.mark.parametrize("index", [0, 1], ids=["unshifted", "shifted"])
def test_the_weights_applied_to_the_values_give_what_the_windows_give(size, options, index):
    check(WindowMixer(6, index=index, heads=2, window=3, **options), size)


@pytest.mark.parametrize("size", [(3, 3, 3), (2, 5, 4)])
def test_the_weights_applied_to_the_values_give_what_relative_attention_gives(size):
    check(RelativeMixer(6, heads=2, extent=3), size)


@torch.no_grad()
def check(mixer, size):
    """At every voxel: weights times values, heads side by side, projected, is what the mixer gives there."""
    nn.init.normal_(mixer.bias_table)
    x = torch.randn(1, 6, *size)
    values = mixer.query_key_value(mixer.norm(x.movedim(1, -1)))[0, ..., 12:].unflatten(-1, (2, 3))
    given = mixer(x)[0]
    for voxel in itertools.product(range(size[0]), range(size[1]), range(size[2])):
        weights = attention_weights(mixer, x, grid_of(mixer, size), voxel)
        torch.testing.assert_close(weights.sum(dim=(1, 2, 3)), torch.ones(2))
        mixed = torch.einsum("hxyz,xyzhc->hc", weights, values)
        torch.testing.assert_close(mixer.projection(mixed.flatten()), given[(slice(None), *voxel)])


@pytest.mark.parametrize("block", [0, 1])
def test_a_query_attends_to_the_voxels_of_its_window_and_to_no_others(network, block):
    shown = attention_map(network, torch.randn(1, 1, 60, 100, 40), (59, 50, 0), block=block)
    assert shown.query == (7, 6, 0)
    assert shown.stride == (8, 8, 8)
    own = shown.windows == shown.windows[shown.query]
    assert torch.equal(shown.weights > 0, own.expand_as(shown.weights))
    assert own.sum() < own.numel()


def test_the_map_is_of_the_input_that_the_block_really_gets(network):
    """Weights change with the image before the block, and the network runs as it always does."""
    image = torch.randn(1, 1, 48, 48, 48)
    first, second = (attention_map(network, given, (20, 20, 20)).weights for given in (image, image.flip(2)))
    assert not torch.allclose(first, second)
    mixer = network.encoder.stages[2].get_submodule("blocks.0.mixer")
    inputs = []
    with mixer.register_forward_pre_hook(lambda _, given: inputs.append(given[0])), torch.no_grad():
        network(image)
    expected = attention_weights(mixer, inputs[0], grid_of(mixer, (6, 6, 6)), (2, 2, 2))
    torch.testing.assert_close(first, expected)


def test_spread_and_distance_are_those_of_the_weights():
    """The first head attends to a neighbour alone, the second to the query and to the voxel after the next."""
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
        ((1, 1, 16, 16, 16), (0, 0, 0), {"stage": 0}, r"stage: 0: ConvMixer: must have windowed or relative attention"),
    ],
)
def test_what_cannot_be_shown_is_refused(network, shape, voxel, options, message):
    with pytest.raises(ValueError, match=message):
        attention_map(network, torch.zeros(shape), voxel, **options)
