"""The cost of a network, counted on meta tensors: parameters, and multiply-adds of a forward pass."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(network: nn.Module) -> int:
    """Count the parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_multiply_adds(network: nn.Module, shape: tuple[int, int, int, int, int]) -> int:
    """Count the multiply-adds of convolutions, matrix products and attention in a forward pass.

    Args:
        network: any network; not changed.
        shape: shape of the images (B, C, D, H, W).
    """
    counter = FlopCounterMode(display=False)
    copy = deepcopy(network).eval().to("meta")
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), counter:
        copy(torch.empty(shape, device="meta"))
    return counter.get_total_flops() // 2
