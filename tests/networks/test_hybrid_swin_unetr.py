"""Networks of every part that a config may name: any size, batch items do not mix, a gradient for every parameter."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from hybridseg.networks import HybridSwinUNETR, create_model
from hybridseg.networks.blocks import Block
from hybridseg.networks.mixers import ConvMixer, GatedMixer, WindowMixer

WINDOW = {"name": "window", "heads": 2}
OUTSIDE = "hybridseg.app.benchmarks.ablated_mixers"
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
    "alternating mixers": {"mixers": ("conv", ["conv", {"name": "window", "heads": 3}], "conv")},
    "mixers from outside": {"mixers": ("conv", f"{OUTSIDE}.DepthwiseMixer", f"{OUTSIDE}.NoMixer")},
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
    return create_model("tiny", in_channels=2, out_channels=3, **request.param)


def test_odd_size_gives_finite_logits_of_that_size(model):
    with torch.inference_mode():
        logits = model.eval()(torch.randn(1, 2, 13, 26, 19))
    assert logits.shape == (1, 3, 13, 26, 19)
    assert logits.isfinite().all()


def test_batch_items_do_not_mix(model):
    model.eval()
    images = torch.randn(2, 2, 13, 26, 19)
    with torch.inference_mode():
        alone = torch.cat([model(image[None]) for image in images])
        torch.testing.assert_close(model(images), alone, rtol=1e-4, atol=1e-4)


def test_every_parameter_gets_a_gradient(model):
    model.train()
    for module in model.modules():  # stochastic depth leaves out whole branches
        if hasattr(module, "drop_prob"):
            module.drop_prob = 0.0
    outputs = model(torch.randn(1, 2, 24, 40, 32))
    torch.stack([logits.square().mean() for logits in outputs]).sum().backward()
    without = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert not without


def test_deep_supervision_returns_every_scale_in_training():
    model = create_model("tiny", in_channels=1, out_channels=3)
    image = torch.randn(1, 1, 20, 33, 17)
    assert [tuple(logits.shape[2:]) for logits in model(image)] == [(20, 33, 17), (10, 17, 9), (5, 9, 5)]
    assert isinstance(model.eval()(image), torch.Tensor)


def test_without_deep_supervision_training_returns_logits():
    model = create_model("tiny", in_channels=1, out_channels=3, deep_supervision=False)
    assert isinstance(model(torch.randn(1, 1, 20, 33, 17)), torch.Tensor)


def test_strides_may_differ_between_axes():
    model = create_model("tiny", in_channels=1, out_channels=2, strides=[[1, 2, 2], [1, 2, 2], 2])
    assert model.stride == (2, 8, 8)
    scales = [tuple(logits.shape[2:]) for logits in model(torch.randn(1, 1, 6, 32, 32))]
    assert scales == [(6, 32, 32), (6, 16, 16), (6, 8, 8)]


def test_alternating_mixers_count_their_own_blocks():
    mixers = ["conv", {"name": "window", "heads": 3}]
    model = create_model("tiny", in_channels=1, out_channels=2, depths=(1, 4, 1), mixers=("conv", mixers, "conv"))
    found = [block.mixer for block in model.encoder.stages[1].modules() if isinstance(block, Block)]
    assert [type(mixer) for mixer in found] == [ConvMixer, WindowMixer, ConvMixer, WindowMixer]
    assert [mixer.shifted for mixer in found if isinstance(mixer, WindowMixer)] == [False, True]


def test_initialisation_keeps_a_mixers_own_parameters():
    mixers = ("conv", "conv", {"name": "gated", "heads": 2, "locality": 3.0})
    model = create_model("tiny", in_channels=1, out_channels=2, mixers=mixers)
    mixer = next(module for module in model.modules() if isinstance(module, GatedMixer))
    assert not mixer.projection.bias.any()
    assert mixer.projection.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert mixer.position[:, 0].tolist() == [-3.0, -3.0]


def test_config_alone_builds_the_network():
    model = create_model("tiny", in_channels=1, out_channels=2)
    other = HybridSwinUNETR(model.config)
    assert [value.shape for value in other.state_dict().values()] == [
        value.shape for value in model.state_dict().values()
    ]


@pytest.mark.parametrize("shape", [(1, 16, 16, 16), (0, 1, 16, 16, 16), (1, 1, 16, 0, 16)])
def test_images_of_wrong_rank_or_without_voxels_raise(shape):
    with pytest.raises(ValueError, match=rf"image: shape {re.escape(str(shape))}: must be \(B, C, D, H, W\), none of"):
        create_model("tiny", in_channels=1, out_channels=2)(torch.zeros(shape))
