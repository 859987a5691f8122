"""Over every preset: any size, finite, every parameter with a gradient, checkpointing changes nothing."""

from __future__ import annotations

import pickle
import re
from copy import deepcopy

import pytest
import torch

from hybridseg.networks import PRESETS, HybridSwinUNETR, create_model

LIMITS = {"tiny": (0, 1e6), "small": (2e6, 4e6), "base": (1e7, 2e7)}


@pytest.fixture(params=PRESETS)
def preset(request) -> str:
    return request.param


def test_the_number_of_parameters_is_what_the_preset_promises(preset):
    low, high = LIMITS[preset]
    assert (
        low
        < sum(parameter.numel() for parameter in create_model(preset, in_channels=1, out_channels=14).parameters())
        < high
    )


@pytest.mark.parametrize("size", [(16, 16, 16), (1, 1, 1), (7, 19, 33), (40, 3, 21)])
def test_any_size_gives_finite_logits_of_that_size(preset, size):
    model = create_model(preset, in_channels=2, out_channels=3).eval()
    with torch.inference_mode():
        logits = model(torch.randn(2, 2, *size))
    assert logits.shape == (2, 3, *size)
    assert logits.isfinite().all()


def test_every_parameter_gets_a_gradient(preset):
    model = create_model(preset, in_channels=1, out_channels=2)
    torch.stack([logits.square().mean() for logits in model(torch.randn(1, 1, 24, 31, 24))]).sum().backward()
    without = [
        name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert not without


def test_batch_items_do_not_mix(preset):
    model = create_model(preset, in_channels=1, out_channels=2).eval()
    images = torch.randn(3, 1, 24, 17, 20)
    with torch.inference_mode():
        alone = torch.cat([model(image[None]) for image in images])
        torch.testing.assert_close(model(images), alone, rtol=1e-4, atol=1e-5)


def test_copies_and_pickles_give_the_same(preset):
    model = create_model(preset, in_channels=1, out_channels=2).eval()
    image = torch.randn(1, 1, 16, 24, 16)
    with torch.inference_mode():
        logits = model(image)
        for twin in (deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(twin(image), logits)


def test_half_precision_gives_nearly_the_same(preset):
    torch.manual_seed(0)
    model = create_model(preset, in_channels=1, out_channels=2).eval()
    image = torch.randn(1, 1, 24, 40, 24)
    with torch.inference_mode():
        logits = model(image)
        with torch.autocast("cpu", torch.bfloat16):
            half = model(image)
    assert (half - logits).abs().mean() < 0.02 * logits.std()


def test_checkpointing_changes_nothing(preset):
    plain = create_model(preset, in_channels=1, out_channels=2)
    checkpointed = create_model(preset, in_channels=1, out_channels=2, checkpointing=True)
    checkpointed.load_state_dict(plain.state_dict())
    image = torch.randn(1, 1, 16, 24, 16)
    for model in (plain, checkpointed):
        torch.stack([logits.square().mean() for logits in model(image)]).sum().backward()
    for (name, first), second in zip(plain.named_parameters(), checkpointed.parameters(), strict=True):
        torch.testing.assert_close(first.grad, second.grad, msg=name)


def test_deep_supervision_gives_every_scale_finest_first_in_training_only():
    model = create_model("tiny", in_channels=1, out_channels=3)
    image = torch.randn(1, 1, 20, 33, 17)
    assert [tuple(logits.shape[2:]) for logits in model(image)] == [(20, 33, 17), (10, 17, 9), (5, 9, 5)]
    assert isinstance(model.eval()(image), torch.Tensor)
    single = create_model("tiny", in_channels=1, out_channels=3, deep_supervision=False)
    assert isinstance(single(image), torch.Tensor)


def test_strides_may_differ_between_axes():
    model = create_model("tiny", in_channels=1, out_channels=2, strides=[[1, 2, 2], [1, 2, 2], 2])
    assert model.stride == (2, 8, 8)
    assert [tuple(logits.shape[2:]) for logits in model(torch.randn(1, 1, 6, 32, 32))] == [
        (6, 32, 32),
        (6, 16, 16),
        (6, 8, 8),
    ]


@pytest.mark.parametrize("shape", [(1, 16, 16, 16), (0, 1, 16, 16, 16), (1, 1, 16, 0, 16)])
def test_an_image_of_another_rank_or_without_voxels_is_refused(shape):
    with pytest.raises(ValueError, match=rf"image: shape {re.escape(str(shape))}: must be \(B, C, D, H, W\), none of"):
        create_model("tiny", in_channels=1, out_channels=2)(torch.zeros(shape))


def test_a_network_is_built_from_its_config_alone():
    model = create_model("tiny", in_channels=1, out_channels=2)
    twin = HybridSwinUNETR(model.config)
    assert [value.shape for value in twin.state_dict().values()] == [
        value.shape for value in model.state_dict().values()
    ]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"preset": "huge"}, "preset: 'huge': must be one of tiny, small, base"),
        ({"preset": ["tiny"]}, r"preset: \['tiny'\]: must be one of tiny, small, base"),
        ({"widths": (1, 2)}, "widths: no field of the network: must be one of in_channels"),
        ({"in_channels": 0}, "in_channels: 0: must be a positive integer"),
        ({"depths": (1, 2)}, "depths: 2 entries: must have one per stage, 3 as channels has"),
        ({"mixers": "conv"}, "mixers: 'conv': must be a list with one entry per stage"),
        ({"strides": (2, 2, (2, 2))}, r"strides: \(2, 2\): must be one integer or three"),
        ({"stem": "patchwork"}, "stem: 'patchwork': must be one of conv, grouped, levit, patch"),
        (
            {"mixers": ("conv", "conv", "fourier")},
            "mixers: 'fourier': must be one of conv, gated, relative, rotary, window, or the dotted path of a class",
        ),
        ({"mixers": ("conv", "conv", "window")}, "mixers: 'window': .*missing.*'heads'"),
        ({"mixers": ("conv", "conv", {"name": "conv", "heads": 2})}, "mixers: .*unexpected keyword argument 'heads'"),
    ],
)
def test_what_cannot_work_is_refused_by_field_value_and_rule(overrides, message):
    with pytest.raises(ValueError, match=message):
        create_model(**{"preset": "tiny", "in_channels": 1, "out_channels": 2, **overrides})
