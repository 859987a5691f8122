"""Over every preset: a captured graph gives what the network gives, for any batch, and leaves the network as it was."""

from __future__ import annotations

import pytest
import torch

from hybridseg.networks import PRESETS, HybridSwinUNETR, create_model

SIZE = (40, 24, 32)


@pytest.fixture(params=PRESETS)
def model(request) -> HybridSwinUNETR:
    return create_model(request.param, in_channels=1, out_channels=3).eval()


def test_an_exported_graph_equals_the_network(model):
    images = torch.randn(3, 1, *SIZE)
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(model, (images[:2],), dynamic_shapes=({0: batch},)).module()
    with torch.inference_mode():
        torch.testing.assert_close(exported(images), model(images), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # the size is fixed by tracing, as it says
def test_a_traced_graph_equals_the_network(model):
    images = torch.randn(3, 1, 24, 56, 40)  # a size whose masks no other test has made, which trace checks
    traced = torch.jit.trace(model, images[:1])
    assert isinstance(traced, torch.jit.ScriptModule)
    with torch.inference_mode():
        torch.testing.assert_close(traced(images), model(images), rtol=1e-4, atol=1e-4)


def test_a_network_trains_on_after_it_was_exported():
    model = create_model("tiny", in_channels=1, out_channels=2)
    image = torch.randn(1, 1, 56, 48, 40)  # a size whose masks no other test has made
    torch.export.export(model.eval(), (image,))
    model.train()(image)[0].sum().backward()
    assert all(parameter.grad is not None for parameter in model.decoder.steps[0].parameters())


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # the size is fixed by tracing, as it says
def test_tracing_twice_gives_one_graph():
    model = create_model("tiny", in_channels=1, out_channels=2).eval()
    image = torch.randn(1, 1, 56, 40, 72)  # a size whose masks no other test has made
    torch.jit.trace(model, image, check_trace=True)  # raises where what the first run keeps changes the second
