"""What is computed another way on a CPU is what torch computes: values and gradients, in either order of memory."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hybridseg.networks.layers.convolutions import DepthwiseConv, PointwiseConv, conv
from hybridseg.networks.layers.norms import InstanceNorm

ORDERS = [torch.contiguous_format, torch.channels_last_3d]


def results(layer: nn.Module, function, x: Tensor) -> list[Tensor]:
    """The result of a function, and its gradients by the input and by the layer's parameters."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    layer.zero_grad()
    y = function(x)
    torch.manual_seed(1)
    y.backward(torch.randn(y.shape).to(y.dtype))
    assert x.grad is not None
    return [y.detach(), x.grad, *(value.grad.clone() for value in layer.parameters() if value.grad is not None)]


@pytest.mark.parametrize("order", ORDERS, ids=["channels outermost", "channels innermost"])
@pytest.mark.parametrize("size", [(3, 4, 5), (7, 16, 16), (6, 1, 9)])
def test_instance_normalisation_is_torchs(order, size):
    layer = InstanceNorm(6)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    x = (torch.randn(3, 6, *size) * 5 + 20).to(memory_format=order)
    ours = results(layer, layer, x)
    reference = results(
        layer, lambda y: functional.instance_norm(y.double(), None, None, layer.weight.double(), layer.bias.double()), x
    )
    for mine, theirs in zip(ours, reference, strict=True):
        torch.testing.assert_close(mine.double(), theirs.double(), rtol=1e-3, atol=1e-4)


def test_instance_normalisation_of_a_large_map_keeps_its_digits():
    x = (torch.randn(1, 2, 96, 96, 96) * 3 + 1).to(memory_format=torch.channels_last_3d)
    exact = functional.instance_norm(x.double())
    assert (InstanceNorm(2)(x) - exact).abs().max() < 1e-5
    assert (functional.group_norm(x, 2) - exact).abs().max() > 1e-4  # why it is not left to torch


@pytest.mark.parametrize("size", [(3, 4, 5), (7, 16, 16)], ids=["few voxels", "many voxels"])
def test_instance_normalisation_in_double_precision_is_exact(size):
    x = torch.randn(2, 3, *size, dtype=torch.float64).to(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(InstanceNorm(3).double()(x), functional.instance_norm(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("type_", [torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("layer", [InstanceNorm(4), DepthwiseConv(4)], ids=["norm", "depth-wise convolution"])
def test_weights_may_have_any_type_and_their_gradients_have_it(layer, type_):
    x = torch.randn(2, 4, 7, 16, 16).to(memory_format=torch.channels_last_3d)
    expected = results(layer, layer, x)
    other = deepcopy(layer).to(type_)
    for mine, theirs in zip(results(other, other, x.to(type_)), expected, strict=True):
        assert mine.dtype == type_
        scale = theirs.abs().max()
        torch.testing.assert_close(mine.float() / scale, theirs / scale, rtol=0, atol=0.03)


@pytest.mark.parametrize("order", ORDERS, ids=["channels outermost", "channels innermost"])
@pytest.mark.parametrize("kernel", [(3, 3, 3), (1, 3, 5)])
def test_a_depthwise_convolution_is_torchs(order, kernel):
    layer = DepthwiseConv(5, kernel)
    x = torch.randn(2, 5, 6, 7, 8).to(memory_format=order)
    for mine, theirs in zip(
        results(layer, layer, x), results(layer, lambda y: nn.Conv3d.forward(layer, y), x), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_a_depthwise_convolution_keeps_the_type_of_its_input():
    layer = DepthwiseConv(4)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(1, 4, 6, 6, 6, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("order", ORDERS, ids=["channels outermost", "channels innermost"])
def test_a_pointwise_convolution_is_torchs(order):
    layer = PointwiseConv(6, 3)
    x = torch.randn(2, 6, 4, 5, 3).to(memory_format=order)
    reference = results(layer, lambda y: functional.conv3d(y, layer.weight, layer.bias), x)
    for mine, theirs in zip(results(layer, layer, x), reference, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stride", [(1, 1, 1), (2, 2, 2)])
@pytest.mark.parametrize(("kernel", "size"), [((3, 3, 3), (2, 4, 4)), ((3, 3, 3), (1, 2, 2)), ((5, 3, 1), (3, 4, 4))])
def test_the_gradient_of_a_kernel_is_right_on_short_maps_in_bfloat16(kernel, size, stride):
    layer = conv(16, 16, kernel, stride=stride)
    x = torch.randn(2, 16, *size)
    exact = results(layer, layer, x)
    for value in (1.0, float("nan")):
        memory = [torch.full((2**power,), value) for power in range(8, 22)]
        del memory  # what is left in it must not come back
        with torch.autocast("cpu", torch.bfloat16):
            ours = results(layer, layer, x)
        for mine, theirs in zip(ours, exact, strict=True):
            torch.testing.assert_close(mine.float(), theirs, rtol=0.05, atol=0.1)
