"""Instance normalisation equals torch's, in values and gradients, in both memory formats and every type."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from hybridseg.networks.layers.norms import InstanceNorm

from .conftest import check_types, results


@pytest.mark.parametrize("size", [(3, 4, 5), (7, 16, 16), (6, 1, 9)])
def test_instance_norm_equals_torch(memory_format, size):
    layer = InstanceNorm(6)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    x = (torch.randn(3, 6, *size) * 5 + 20).to(memory_format=memory_format)
    reference = results(
        layer, lambda y: functional.instance_norm(y.double(), None, None, layer.weight.double(), layer.bias.double()), x
    )
    for ours, theirs in zip(results(layer, layer, x), reference, strict=True):
        torch.testing.assert_close(ours.double(), theirs.double(), rtol=1e-3, atol=1e-4)


def test_instance_norm_of_a_large_map_is_accurate():
    x = (torch.randn(1, 2, 96, 96, 96) * 3 + 1).to(memory_format=torch.channels_last_3d)
    assert (InstanceNorm(2)(x) - functional.instance_norm(x.double())).abs().max() < 1e-5


@pytest.mark.parametrize("size", [(3, 4, 5), (7, 16, 16)], ids=["few voxels", "many voxels"])
def test_instance_norm_in_double_precision_is_exact(size):
    x = torch.randn(2, 3, *size, dtype=torch.float64).to(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(InstanceNorm(3).double()(x), functional.instance_norm(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_gradients_have_the_type_of_the_weights(dtype):
    x = torch.randn(2, 4, 7, 16, 16).to(memory_format=torch.channels_last_3d)
    check_types(InstanceNorm(4), x, dtype)
