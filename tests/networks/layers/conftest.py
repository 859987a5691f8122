"""What the tests of layers share: memory formats, values together with gradients, and their types."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn


@pytest.fixture(params=[torch.contiguous_format, torch.channels_last_3d], ids=["channels first", "channels last"])
def memory_format(request) -> torch.memory_format:
    return request.param


def results(layer: nn.Module, function: Callable[[Tensor], Tensor], x: Tensor) -> list[Tensor]:
    """Return a function's result and its gradients with respect to the input and the layer's parameters."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    layer.zero_grad()
    y = function(x)
    torch.manual_seed(1)
    y.backward(torch.randn(y.shape).to(y.dtype))
    assert x.grad is not None
    return [y.detach(), x.grad, *(value.grad.clone() for value in layer.parameters() if value.grad is not None)]


def check_types(layer: nn.Module, x: Tensor, dtype: torch.dtype) -> None:
    """Check that result and gradients of a layer converted to a type have this type, and are close to the layer's."""
    expected = results(layer, layer, x)
    converted = deepcopy(layer).to(dtype)
    for ours, theirs in zip(results(converted, converted, x.to(dtype)), expected, strict=True):
        assert ours.dtype == dtype
        scale = theirs.abs().max()
        torch.testing.assert_close(ours.float() / scale, theirs / scale, rtol=0, atol=0.03)
