"""Mixed precision: bfloat16 within where the hardware has it, float32 outside, off when asked."""

from __future__ import annotations

import pytest
import torch

from hybridseg.networks import create_model
from hybridseg.transforms import MixedPrecisionInferer, inferers


@pytest.fixture
def model():
    return create_model("tiny", in_channels=1, out_channels=2)


def test_logits_are_float32_and_close_to_those_of_float32(model, monkeypatch):
    monkeypatch.setattr(inferers, "computes_bfloat16", lambda device: True)
    image = torch.randn(1, 1, 16, 16, 16)
    exact, mixed = model(image), MixedPrecisionInferer()(image, model)
    assert all(logits.dtype == torch.float32 for logits in mixed)
    assert not torch.equal(mixed[0], exact[0])
    torch.testing.assert_close(mixed[0], exact[0], rtol=0.1, atol=0.1)


@pytest.mark.parametrize(("enabled", "hardware"), [(False, True), (True, False)])
def test_float32_where_it_is_off_or_the_hardware_lacks_it(model, monkeypatch, enabled, hardware):
    monkeypatch.setattr(inferers, "computes_bfloat16", lambda device: hardware)
    image = torch.randn(1, 1, 16, 16, 16)
    model.eval()
    with torch.inference_mode():
        assert torch.equal(MixedPrecisionInferer(enabled)(image, model), model(image))


def test_gradients_flow(model):
    MixedPrecisionInferer()(torch.randn(1, 1, 16, 24, 16), model)[0].sum().backward()
    assert all(value.grad is None or value.grad.isfinite().all() for value in model.parameters())
    assert next(model.encoder.stem.parameters()).grad.any()
