"""The largest patch whose training step fits into a memory, found by measuring few of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from hybridseg.networks.config import Triple

from .step_cost import StepCost

STRIDE_IN_VOXELS = 4
"""How many times as many voxels the next patch may have at most as the last one that fitted."""


def largest_that_fits(
    sizes: Sequence[Triple], cost: Callable[[Triple], StepCost | None], memory: int
) -> tuple[Triple, StepCost]:
    """Find it.

    Memory grows nearly in proportion to voxels, so what a patch took tells which to try next; none is tried that is
    expected to take more than there is.

    Args:
        sizes: patches (D, H, W) in voxels, the smallest first.
        cost: what a step with a patch costs; None where there was not memory enough.
        memory: bytes that a step may take.

    Returns:
        The largest patch, and what its step costs.

    Raises:
        ValueError: not even the smallest fits.
    """
    voxels = [math.prod(size) for size in sizes]
    known = cost(sizes[0])
    if known is None or known.bytes > memory:
        took = "more than there is" if known is None else f"{known.bytes / 1e9:.2f} GB"
        shown = " x ".join(map(str, sizes[0]))
        smallest = "the smallest patch" if len(sizes) > 1 else "the patch"
        raise ValueError(f"memory: {memory / 1e9:g} GB: must hold a step with {smallest}, {shown}: {took}")
    fits, beyond = 0, len(sizes)
    while fits + 1 < beyond:
        expected = min(voxels[fits] * memory / known.bytes, STRIDE_IN_VOXELS * voxels[fits])
        index = max(index for index in range(fits, beyond) if voxels[index] <= expected)
        index = max(index, fits + 1)
        found = cost(sizes[index])
        if found is not None and found.bytes <= memory:
            fits, known = index, found
        else:
            beyond = index
    return sizes[fits], known
