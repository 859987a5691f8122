"""Every preset: exported and traced graphs equal the network, for any batch size, and do not change it."""

from __future__ import annotations

import pytest
import torch

from hybridseg.networks import PRESETS, HybridSwinUNETR, create_model

SIZE = (40, 24, 32)


@pytest.fixture(params=PRESETS)
def model(request) -> HybridSwinUNETR:
    return create_model(request.param, in_channels=1, out_channels=3).eval()


def test_exported_graph_equals_the_network(model):
    images = torch.randn(3, 1, *SIZE)
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(model, (images[:2],), dynamic_shapes=({0: batch},)).module()
    with torch.inference_mode():
        torch.testing.assert_close(exported(images), model(images), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # tracing fixes the size
def test_traced_graph_equals_the_network(model):
    images = torch.randn(3, 1, 24, 56, 40)  # masks of this size are not cached by another test
    traced = torch.jit.trace(model, images[:1])
    assert isinstance(traced, torch.jit.ScriptModule)
    with torch.inference_mode():
        torch.testing.assert_close(traced(images), model(images), rtol=1e-4, atol=1e-4)


def test_exported_network_can_still_be_trained():
    model = create_model("tiny", in_channels=1, out_channels=2)
    image = torch.randn(1, 1, 56, 48, 40)  # masks of this size are not cached by another test
    torch.export.export(model.eval(), (image,))
    model.train()(image)[0].sum().backward()
    assert all(parameter.grad is not None for parameter in model.decoder.steps[0].parameters())


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # tracing fixes the size
def test_tracing_twice_gives_the_same_graph():
    model = create_model("tiny", in_channels=1, out_channels=2).eval()
    image = torch.randn(1, 1, 56, 40, 72)  # masks of this size are not cached by another test
    torch.jit.trace(model, image, check_trace=True)  # raises if tensors cached by the first run change the second
