"""Every preset: any size, finite, a gradient for every parameter, equal copies, unchanged by checkpointing."""

from __future__ import annotations

import pickle
from copy import deepcopy

import pytest
import torch

from hybridseg.networks import PRESETS, create_model

LIMITS = {"tiny": (0, 1e6), "small": (2e6, 4e6), "light": (4e6, 7e6), "base": (1e7, 2e7)}


@pytest.fixture(params=PRESETS)
def preset(request) -> str:
    return request.param


def test_number_of_parameters_lies_within_its_limits(preset):
    low, high = LIMITS[preset]
    model = create_model(preset, in_channels=1, out_channels=14)
    assert low < sum(parameter.numel() for parameter in model.parameters()) < high


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


@pytest.mark.parametrize("copy", [deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "pickle"])
def test_copies_have_the_same_weights_and_logits(preset, copy):
    model = create_model(preset, in_channels=1, out_channels=2).eval()
    twin = copy(model)
    image = torch.randn(1, 1, 16, 24, 16)
    for first, second in zip(model.state_dict().values(), twin.state_dict().values(), strict=True):
        assert torch.equal(first, second)
    with torch.inference_mode():  # the kernels may depend on where and how the copied weights lie in memory
        torch.testing.assert_close(twin(image), model(image), rtol=1e-4, atol=1e-5)


def test_half_precision_gives_nearly_the_same(preset):
    model = create_model(preset, in_channels=1, out_channels=2).eval()
    image = torch.randn(1, 1, 24, 40, 24)
    with torch.inference_mode():
        logits = model(image)
        with torch.autocast("cpu", torch.bfloat16):
            half = model(image)
    assert (half - logits).abs().mean() < 0.02 * logits.std()


def test_checkpointing_keeps_the_gradients(preset):
    plain = create_model(preset, in_channels=1, out_channels=2)
    checkpointed = create_model(preset, in_channels=1, out_channels=2, checkpointing=True)
    checkpointed.load_state_dict(plain.state_dict())
    image = torch.randn(1, 1, 16, 24, 16)
    for model in (plain, checkpointed):
        torch.stack([logits.square().mean() for logits in model(image)]).sum().backward()
    for (name, first), second in zip(plain.named_parameters(), checkpointed.parameters(), strict=True):
        torch.testing.assert_close(first.grad, second.grad, msg=name)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"preset": "huge"}, "preset: 'huge': must be one of tiny, small, light, base"),
        ({"preset": ["tiny"]}, r"preset: \['tiny'\]: must be one of tiny, small, light, base"),
        ({"widths": (1, 2)}, "widths: not a field of the network: must be one of in_channels"),
    ],
)
def test_unknown_presets_and_fields_raise(overrides, message):
    with pytest.raises(ValueError, match=message):
        create_model(**{"preset": "tiny", "in_channels": 1, "out_channels": 2, **overrides})
