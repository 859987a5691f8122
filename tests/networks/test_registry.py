"""Over every part that a config may name: it trains, keeps items apart, takes any size; what cannot work is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hybridseg.networks import HybridSwinUNETR, create_model
from hybridseg.networks.blocks import Block
from hybridseg.networks.fusion import AttentionFusion, repeat_voxels
from hybridseg.networks.mixers.conv import ConvMixer
from hybridseg.networks.mixers.global_attention import GatedMixer, RelativeMixer
from hybridseg.networks.mixers.rotary import RotaryMixer, axial_rotation, rotate
from hybridseg.networks.mixers.window import WindowMixer
from hybridseg.networks.stems import LevitStem

WINDOW = {"name": "window", "heads": 2}
VARIANTS: dict[str, dict[str, Any]] = {
    "stem of two layers": {"stem": {"name": "conv", "layers": 2}},
    "stem levit": {"stem": "levit"},
    "stem levit of two halvings": {"stem": {"name": "levit", "stride": (2, 4, 4)}},
    "stem grouped": {"stem": "grouped"},
    "stem patch": {"stem": {"name": "patch", "patch": (1, 2, 2)}},
    "mixer conv": {"mixers": ("conv", "conv", "conv")},
    "mixer relative": {"mixers": ("conv", {"name": "relative", "heads": 3}, {"name": "relative", "heads": 6})},
    "mixer gated": {"mixers": ("conv", {"name": "gated", "heads": 3}, {"name": "gated", "heads": 48})},
    "mixer rotary": {"mixers": ("conv", {"name": "rotary", "heads": 3}, {"name": "rotary", "heads": 2})},
    "mixers that take turns": {"mixers": ("conv", ["conv", {"name": "window", "heads": 3}], "conv")},
    "mixer from outside": {
        "mixers": ("conv", "hybridseg.app.benchmarks.ablated_mixers.DepthwiseMixer", "torch.nn.Identity")
    },
    "cosine and local windows": {"mixers": ("conv", "conv", {**WINDOW, "similarity": "cosine", "locality": 1})},
    "projection depthwise": {"mixers": ("conv", "conv", {**WINDOW, "projection": "depthwise"})},
    "feed-forward linear": {"feed_forward": {"name": "linear", "expansion": 2}},
    "feed-forward gated": {"feed_forward": "gated"},
    "layer scale": {"layer_scale": 1},
    "downsampling grouped": {"downsampling": {"name": "grouped", "groups": 8}},
    "fusion add": {"fusion": "add"},
    "fusion attention": {"fusion": "attention"},
    "fusion by scale": {"fusion": ("concat", "add", {"name": "attention", "heads": 6})},
    "kernels": {"stem_kernel": (1, 3, 3), "kernels": ((1, 3, 3), 3, 5), "strides": ((1, 2, 2), 2, 2)},
    "drop path and dropout": {"drop_path": 0.2, "dropout": 0.1},
    "decoder of two convolutions": {"decoder_depths": (2, 1, 2)},
}


@pytest.fixture(params=VARIANTS.values(), ids=list(VARIANTS))
def model(request) -> HybridSwinUNETR:
    torch.manual_seed(0)
    return create_model("tiny", in_channels=2, out_channels=3, **request.param)


def test_any_size_gives_finite_logits_of_that_size_and_items_do_not_mix(model):
    model.eval()
    images = torch.randn(2, 2, 13, 26, 19)
    with torch.inference_mode():
        logits = model(images)
        alone = torch.cat([model(image[None]) for image in images])
    assert logits.shape == (2, 3, 13, 26, 19)
    assert logits.isfinite().all()
    torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-4)


def test_every_parameter_gets_a_gradient(model):
    model.train()
    for module in model.modules():  # which leave out whole branches at random
        if hasattr(module, "drop_prob"):
            module.drop_prob = 0.0
    outputs = model(torch.randn(1, 2, 24, 40, 32))
    torch.stack([logits.square().mean() for logits in outputs]).sum().backward()
    without = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert not without


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"stem": {"name": "levit", "stride": 3}}, "stride: 3: must be powers of two"),
        ({"stem": {"name": "levit", "stride": 32}}, "stride: 32: 16, half of it, must divide 8 channels"),
        ({"stem": {"name": "grouped", "groups": 3}}, "groups: 3: must divide 8 channels"),
        ({"stem": {"name": "conv", "layers": 0}}, "layers: 0: must be a positive integer"),
        ({"stem": {"name": "conv", "kernel": 3}}, "stem: .*: kernel is set by the network"),
        ({"stem_kernel": 2}, "stem_kernel: 2: must be odd"),
        ({"kernels": (3, 3)}, "kernels: 2 entries: must have one per stage, 3 as channels has"),
        ({"kernels": (3, 3, (3, 4, 3))}, r"kernels: \(3, 4, 3\): must be odd"),
        ({"mixers": ("conv", "conv", {"name": "window", "heads": 5})}, "heads: 5: must divide 96 channels"),
        ({"mixers": ("conv", "conv", {"name": "rotary", "heads": 32})}, "heads: 32: of 3 channels: must be of an even"),
        ({"mixers": ("conv", "conv", {"name": "relative", "heads": 2, "extent": 0})}, "extent: 0: must be a positive"),
        ({"mixers": ("conv", "conv", {**WINDOW, "projection": "cubic"})}, "projection: 'cubic'"),
        ({"mixers": ("conv", "conv", "nowhere.Mixer")}, "mixers: 'nowhere.Mixer': cannot be imported: No module"),
        ({"mixers": ("conv", "conv", "torch.nn.Nothing")}, "mixers: 'torch.nn.Nothing': cannot be imported"),
        ({"feed_forward": {"name": "linear", "expansion": 0.5}}, "expansion: 0.5: must be a positive integer"),
        ({"downsampling": {"name": "grouped", "groups": 5}}, "groups: 5: must divide 8 channels"),
        ({"fusion": {"name": "attention", "heads": 3}}, "heads: 3: must divide 8 channels"),
        ({"fusion": ("add", "add")}, "fusion: 2 entries: must have one per stage, 3 as channels has"),
        ({"drop_path": 1}, "drop_path: 1: must be at least 0 and below 1"),
        ({"layer_scale": -1}, "layer_scale: -1: must be a number of at least 0"),
        ({"layer_scale": float("nan")}, "layer_scale: nan: must be a number of at least 0"),
        ({"mixers": ("conv", "conv", {**WINDOW, "locality": -1.0})}, "locality: -1.0: must be a number of at least 0"),
        ({"mixers": ("conv", "conv", {**WINDOW, "locality": "1"})}, "locality: '1': must be a number of at least 0"),
        ({"mixers": ("conv", "conv", {"name": "gated", "heads": 2, "locality": -1})}, "locality: -1: must be a number"),
        ({"mixers": ("conv", "conv", None)}, "mixers: None: must be a name, or a mapping of name and options"),
        ({"mixers": ("conv", "conv", [])}, r"mixers: \[\]: must be a name, or a mapping of name and options"),
        ({"mixers": ("conv", "conv", ["conv", ["conv"]])}, r"mixers: \['conv'\]: must be a name, or a mapping"),
        ({"mixers": ("conv", "conv", "..Mixer")}, "mixers: '..Mixer': cannot be imported"),
        ({"stem": 3}, "stem: 3: must be a name, or a mapping of name and options"),
        ({"stem": ["conv"]}, r"stem: \['conv'\]: must be a name, or a mapping"),
        ({"feed_forward": None}, "feed_forward: None: must be a name, or a mapping"),
        ({"fusion": 3}, "fusion: 3: must be a name, or a mapping"),
        ({"dropout": -0.1}, "dropout: -0.1: must be at least 0 and below 1"),
        ({"decoder_depths": 0}, "decoder_depths: 0: must be a positive integer"),
        ({"deep_supervision": "no"}, "deep_supervision: 'no': must be true or false"),
    ],
)
def test_what_cannot_work_is_refused_by_field_value_and_rule(overrides, message):
    with pytest.raises(ValueError, match=message):
        create_model("tiny", in_channels=1, out_channels=2, **overrides)


def test_drop_path_rises_to_the_last_block_and_acts_in_training_only():
    model = create_model("tiny", in_channels=1, out_channels=2, drop_path=0.5, deep_supervision=False)
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    rates = [getattr(block.drop_path, "drop_prob", 0.0) for block in blocks]
    assert rates == pytest.approx([0, 0.125, 0.25, 0.375, 0.5])
    images = torch.randn(16, 1, 16, 16, 16)  # each draws for itself what is left out
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


def test_the_stem_tells_its_stride():
    assert LevitStem(1, 16, kernel=(3, 3, 3), stride=(1, 2, 4)).stride == (1, 2, 4)
    assert LevitStem(1, 16, kernel=(3, 3, 3), stride=(1, 2, 4))(torch.zeros(1, 1, 8, 8, 8)).shape == (1, 16, 8, 4, 2)
    assert create_model("tiny", in_channels=1, out_channels=2, stem="patch").stride == (16, 16, 16)


def test_mixers_that_take_turns_count_their_own_blocks():
    turns = ["conv", {"name": "window", "heads": 3}]
    model = create_model("tiny", in_channels=1, out_channels=2, depths=(1, 4, 1), mixers=("conv", turns, "conv"))
    stage = next(stage for number, stage in enumerate(model.encoder.stages.children()) if number == 1)
    mixers = [block.mixer for block in stage.modules() if isinstance(block, Block)]
    assert [type(mixer) for mixer in mixers] == [ConvMixer, WindowMixer, ConvMixer, WindowMixer]
    assert [mixer.shifted for mixer in mixers if isinstance(mixer, WindowMixer)] == [False, True]


def attend_slowly(mixer: RelativeMixer | WindowMixer, x: Tensor) -> Tensor:
    """What attention over the whole map gives, one query at a time, for one item."""
    tokens = x.flatten(2).transpose(1, 2)[0]
    query, key, value = mixer.query_key_value(mixer.norm(tokens)).chunk(3, dim=-1)
    position = torch.stack(torch.meshgrid(*map(torch.arange, x.shape[2:]), indexing="ij"), -1).reshape(-1, 3)
    extent = torch.tensor(mixer.extent if isinstance(mixer, RelativeMixer) else mixer.window)
    bias = mixer.bias_table.view(mixer.heads, *(2 * extent - 1).tolist())
    result = torch.zeros_like(value)
    size = value.shape[1] // mixer.heads
    for head in range(mixer.heads):
        part = slice(head * size, (head + 1) * size)
        for here in range(len(tokens)):
            offset = (position[here] - position).clamp(1 - extent, extent - 1) + extent - 1
            scores = key[:, part] @ query[here, part] / size**0.5 + bias[head, offset[:, 0], offset[:, 1], offset[:, 2]]
            result[here, part] = scores.softmax(0) @ value[:, part]
    return mixer.projection(result).transpose(0, 1).reshape(x.shape)


@pytest.mark.parametrize("mixer", [RelativeMixer(8, heads=2, extent=(2, 3, 9)), WindowMixer(8, heads=2, window=5)])
def test_attention_equals_a_slow_loop_beyond_its_extent_too(mixer):
    x = torch.randn(1, 8, 3, 5, 4)
    torch.testing.assert_close(mixer(x), attend_slowly(mixer, x))


def test_a_gated_head_begins_as_a_convolution_at_its_offset():
    mixer = GatedMixer(14, heads=7, locality=8.0)
    weights = mixer.attend_by_position((5, 5, 5), torch.device("cpu"))
    torch.testing.assert_close(weights.sum(-1), torch.ones(7, 125))
    centre = 2 * 25 + 2 * 5 + 2
    looked_at = weights[:, centre].argmax(-1)
    offsets = {(int(i) // 25 - 2, int(i) // 5 % 5 - 2, int(i) % 5 - 2) for i in looked_at}
    assert offsets == {(0, 0, 0), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)}


def test_first_weights_are_the_networks_to_give_but_a_mixers_own_parameters_stay():
    torch.manual_seed(0)
    mixers = ("conv", "conv", {"name": "gated", "heads": 2, "locality": 3.0})
    model = create_model("tiny", in_channels=1, out_channels=2, mixers=mixers)
    mixer = next(module for module in model.modules() if isinstance(module, GatedMixer))
    assert not mixer.projection.bias.any()
    assert mixer.projection.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert mixer.position[:, 0].tolist() == [-3.0, -3.0]


def test_the_gate_weighs_content_against_position():
    mixer = GatedMixer(8, heads=2)
    x = torch.randn(1, 8, 3, 3, 3)
    nn.init.constant_(mixer.gate, -50.0)
    nn.init.zeros_(mixer.projection.bias)
    by_content = mixer(x)
    mixer.position.data.normal_()
    torch.testing.assert_close(mixer(x), by_content)  # position has no say
    nn.init.constant_(mixer.gate, 50.0)
    assert not torch.allclose(mixer(x), by_content)


def test_rotary_scores_depend_on_the_offset_between_voxels_only():
    size = (3, 4, 5)
    rotation = axial_rotation(size, 8, torch.device("cpu"))
    query, key = torch.randn(2, 1, 1, 1, 16).expand(2, 1, 1, 60, 16)  # the same at every voxel
    scores = (rotate(query, rotation) @ rotate(key, rotation).mT)[0, 0].view(*size, *size)
    torch.testing.assert_close(scores[0, 0, 0, 1, 2, 1], scores[1, 1, 3, 2, 3, 4])
    assert len(scores.flatten().mul(1e3).round().unique()) > 200  # of 5 x 7 x 9 offsets
    assert torch.equal(rotation[:, :, 6:], torch.tensor([1.0, 0.0]).view(2, 1, 1).expand(2, 60, 2))


def test_rotary_attention_equals_its_definition():
    mixer = RotaryMixer(12, heads=2)
    x = torch.randn(1, 12, 2, 3, 2)
    tokens = x.flatten(2).mT[0]
    query, key, value = mixer.query_key_value(mixer.norm(tokens)).unflatten(1, (3, 2, 6)).unbind(1)  # (N, h, 6)
    place = torch.stack(torch.meshgrid(*map(torch.arange, x.shape[2:]), indexing="ij"), -1).reshape(-1, 3)
    turn = torch.polar(torch.ones(12, 3), place.float())[:, None]  # one pair for each axis, by a radian a voxel
    query, key = (torch.complex(part[..., :3], part[..., 3:]) * turn for part in (query, key))
    scores = torch.einsum("qhc,khc->hqk", query, key.conj()).real / 6**0.5
    mixed = torch.einsum("hqk,khc->qhc", scores.softmax(-1), value).flatten(1)
    torch.testing.assert_close(mixer(x), mixer.projection(mixed).mT.reshape(x.shape))


def test_branches_begin_at_their_scale():
    torch.manual_seed(0)
    model = create_model("tiny", in_channels=1, out_channels=2, layer_scale=0.5)
    block = [module for module in model.modules() if isinstance(module, Block)][-1]
    assert block.scales is not None
    assert block.scales.shape == (2, 96, 1, 1, 1)
    assert block.position is not None
    assert block.feed_forward is not None
    x = torch.randn(1, 96, 4, 4, 4)
    before = x + block.position(x)
    after = before + 0.5 * block.mixer(before)
    torch.testing.assert_close(block(x), after + 0.5 * block.feed_forward(after))


def test_a_scale_hears_the_voxels_of_its_own_place_only():
    fusion = AttentionFusion((4, 8, 8), ((2, 2, 2), (1, 2, 2)), scale=1, heads=2)
    features = [torch.randn(1, 4, 8, 8, 8), torch.randn(1, 8, 4, 4, 4), torch.randn(1, 8, 4, 2, 2)]
    up = torch.zeros(1, 8, 4, 4, 4)
    before = fusion(up, features)
    assert before.shape == (1, fusion.channels, 4, 4, 4)
    for changed, place in ((0, (0, 1, 2)), (2, (0, 0, 1))):
        others = [x.clone() for x in features]
        others[changed][0, :, *place] += torch.randn(others[changed].shape[1])
        moved = (fusion(up, others) != before).any(dim=1)[0].nonzero().tolist()
        expected = {(0, 0, 1)} if changed == 0 else {(0, j, k) for j in (0, 1) for k in (2, 3)}
        assert set(map(tuple, moved)) == expected


def test_voxels_are_repeated_along_each_axis():
    tokens = torch.arange(6.0).view(1, 1, 2, 3, 1)
    assert repeat_voxels(tokens, (2, 1, 2))[0, :, :, :, 0].tolist() == [[[0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5]]] * 2
