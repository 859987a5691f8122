"""Mixed precision: bfloat16 only where it is faster and if enabled, and float32 logits."""

from __future__ import annotations

import pytest
import torch

from hybridseg.networks import create_model
from hybridseg.transforms import MixedPrecisionInferer, inferers


@pytest.fixture
def model():
    return create_model("tiny", in_channels=1, out_channels=2)


def test_bfloat16_gives_float32_logits_close_to_exact_ones(model, monkeypatch):
    monkeypatch.setattr(inferers, "prefers_bfloat16", lambda device: True)
    image = torch.randn(1, 1, 16, 16, 16)
    exact, mixed = model(image), MixedPrecisionInferer()(image, model)
    assert all(logits.dtype == torch.float32 for logits in mixed)
    assert not torch.equal(mixed[0], exact[0])
    torch.testing.assert_close(mixed[0], exact[0], rtol=0.1, atol=0.1)


@pytest.mark.parametrize(("enabled", "hardware"), [(False, True), (True, False)])
def test_float32_if_disabled_or_without_hardware(model, monkeypatch, enabled, hardware):
    monkeypatch.setattr(inferers, "prefers_bfloat16", lambda device: hardware)
    image = torch.randn(1, 1, 16, 16, 16)
    model.eval()
    with torch.inference_mode():
        assert torch.equal(MixedPrecisionInferer(enabled)(image, model), model(image))


def test_gradients_flow(model):
    MixedPrecisionInferer()(torch.randn(1, 1, 16, 24, 16), model)[0].sum().backward()
    assert all(value.grad is None or value.grad.isfinite().all() for value in model.parameters())
    assert next(model.encoder.stem.parameters()).grad.any()
