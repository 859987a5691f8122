"""The cost of a network, counted without computing: parameters, and multiply-adds and memory of a forward pass."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import is_tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
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


def count_activation_bytes(
    network: nn.Module, shape: tuple[int, int, int, int, int], dtype: torch.dtype = torch.float32
) -> int:
    """Count the most bytes that a forward pass in inference mode holds at once, beside its weights and input.

    Nothing is computed: meta tensors know their sizes and when they are freed. What kernels need within an operation is
    not counted.

    Args:
        network: any network; not changed.
        shape: shape of the images (B, C, D, H, W).
        dtype: type of the activations.
    """
    copy = deepcopy(network).eval().to("meta", dtype)
    images = torch.empty(shape, device="meta", dtype=dtype)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), _LiveBytes() as live:
        copy(images)
    return live.peak


class _LiveBytes(TorchDispatchMode):
    """Sums the storages that operations have made and that are still alive.

    Attributes:
        peak: the largest sum after an operation, in bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[StorageWeakRef, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        before = {StorageWeakRef(value.untyped_storage()) for value in tree_leaves((args, kwargs)) if is_tensor(value)}
        self.alive = {storage: size for storage, size in self.alive.items() if not storage.expired()}
        for value in filter(is_tensor, tree_leaves(result)):
            storage = StorageWeakRef(value.untyped_storage())
            if storage not in before:
                self.alive[storage] = value.untyped_storage().nbytes()
        self.peak = max(self.peak, sum(self.alive.values()))
        return result
