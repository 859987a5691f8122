"""Mixed precision: bfloat16 where it is faster or chosen, and float32 logits."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from hybridseg.networks import create_model
from hybridseg.transforms import MixedPrecisionInferer, WindowInferer


@pytest.fixture
def model():
    return create_model("tiny", in_channels=1, out_channels=2)


def test_bfloat16_gives_float32_logits_close_to_exact_ones(model):
    image = torch.randn(1, 1, 16, 16, 16)
    exact, mixed = model(image), MixedPrecisionInferer("bf16")(image, model)
    assert all(logits.dtype == torch.float32 for logits in mixed)
    assert not torch.equal(mixed[0], exact[0])
    torch.testing.assert_close(mixed[0], exact[0], rtol=0.1, atol=0.1)


def test_float32_is_exact(model):
    image = torch.randn(1, 1, 16, 16, 16)
    model.eval()
    with torch.inference_mode():
        assert torch.equal(MixedPrecisionInferer("fp32")(image, model), model(image))


@pytest.mark.parametrize("make", [MixedPrecisionInferer, partial(WindowInferer, (16, 16, 16))])
def test_precision_is_checked_at_once(make):
    with pytest.raises(ValueError, match=r"precision: 'half': must be one of auto, fp32, bf16, fp16"):
        make(precision="half")


def test_float16_needs_a_gpu(model):
    with pytest.raises(ValueError, match=r"precision: 'fp16': must be auto, fp32 or bf16 on cpu"):
        MixedPrecisionInferer("fp16")(torch.randn(1, 1, 16, 16, 16), model)


def test_gradients_flow(model):
    MixedPrecisionInferer()(torch.randn(1, 1, 16, 24, 16), model)[0].sum().backward()
    assert all(value.grad is None or value.grad.isfinite().all() for value in model.parameters())
    assert next(model.encoder.stem.parameters()).grad.any()
