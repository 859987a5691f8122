"""Convolutions computed another way on a CPU equal torch's, in values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from hybridseg.networks.layers.convolutions import DepthwiseConv, PointwiseConv, conv

from .conftest import check_types, results


@pytest.mark.parametrize("kernel", [(3, 3, 3), (1, 3, 5)])
def test_depthwise_convolution_equals_torch(memory_format, kernel):
    layer = DepthwiseConv(5, kernel)
    x = torch.randn(2, 5, 6, 7, 8).to(memory_format=memory_format)
    reference = results(layer, lambda y: nn.Conv3d.forward(layer, y), x)
    for ours, theirs in zip(results(layer, layer, x), reference, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_gradients_have_the_type_of_the_weights(dtype):
    x = torch.randn(2, 4, 7, 16, 16).to(memory_format=torch.channels_last_3d)
    check_types(DepthwiseConv(4), x, dtype)


def test_depthwise_convolution_keeps_the_type_of_its_input():
    layer = DepthwiseConv(4)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(1, 4, 6, 6, 6, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_pointwise_convolution_equals_torch(memory_format):
    layer = PointwiseConv(6, 3)
    x = torch.randn(2, 6, 4, 5, 3).to(memory_format=memory_format)
    reference = results(layer, lambda y: functional.conv3d(y, layer.weight, layer.bias), x)
    for ours, theirs in zip(results(layer, layer, x), reference, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stride", [(1, 1, 1), (2, 2, 2)])
@pytest.mark.parametrize(("kernel", "size"), [((3, 3, 3), (2, 4, 4)), ((3, 3, 3), (1, 2, 2)), ((5, 3, 1), (3, 4, 4))])
def test_bfloat16_gradient_is_right_on_short_maps(kernel, size, stride):
    layer = conv(16, 16, kernel, stride=stride)
    x = torch.randn(2, 16, *size)
    exact = results(layer, layer, x)
    for value in (1.0, float("nan")):
        memory = [torch.full((2**power,), value) for power in range(8, 22)]
        del memory  # the freed memory must not appear in the gradients
        with torch.autocast("cpu", torch.bfloat16):
            found = results(layer, layer, x)
        for ours, theirs in zip(found, exact, strict=True):
            torch.testing.assert_close(ours.float(), theirs, rtol=0.05, atol=0.1)
