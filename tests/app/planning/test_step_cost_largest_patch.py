"""The chosen patch fits, the next larger one does not, and no patch that is far too large is tried."""

from __future__ import annotations

import math

import pytest

from hybridseg.app.planning.step_cost import StepCost, largest_that_fits
from hybridseg.networks.validation import Triple

SIZES = [(8 * n, 8 * n, 8 * n) for n in range(4, 17)]


class Machine:
    """A machine on which a step needs some bytes per voxel and a constant; it has no more than `largest` bytes."""

    def __init__(self, per_voxel: float, constant: float = 0.0, largest: float = math.inf) -> None:
        self.per_voxel, self.constant, self.largest = per_voxel, constant, largest
        self.tried: list[Triple] = []

    def bytes(self, size: Triple) -> int:
        return int(self.constant + self.per_voxel * math.prod(size))

    def cost(self, size: Triple) -> StepCost | None:
        self.tried.append(size)
        needed = self.bytes(size)
        return StepCost(needed, 1.0) if needed <= self.largest else None


@pytest.mark.parametrize("constant", [0.0, 2e8])
@pytest.mark.parametrize("memory", [5 * 10**8, 10**9, 3 * 10**9, 10**12])
def test_largest_patch_that_fits_is_found(memory: int, constant: float) -> None:
    machine = Machine(1000.0, constant)
    best, cost = largest_that_fits(SIZES, machine.cost, memory)
    assert best == [size for size in SIZES if machine.bytes(size) <= memory][-1]
    assert cost.bytes == machine.bytes(best)
    assert len(machine.tried) == len(set(machine.tried))


def test_few_patches_are_tried_and_none_far_too_large() -> None:
    machine = Machine(1000.0, constant=1e8)
    largest_that_fits(SIZES, machine.cost, 10**9)
    assert len(machine.tried) < len(SIZES) / 2
    assert max(map(machine.bytes, machine.tried)) < 2 * 10**9


def test_step_that_the_system_ends_does_not_fit() -> None:
    machine = Machine(1000.0, largest=6e8)
    best, _ = largest_that_fits(SIZES, machine.cost, 10**12)
    assert best == (80, 80, 80)


@pytest.mark.parametrize(("largest", "needed"), [(math.inf, "0.03 GB"), (1e6, "more than the device has")])
def test_memory_too_small_for_any_patch_is_an_error(largest: float, needed: str) -> None:
    with pytest.raises(
        ValueError, match=f"memory: 0.01 GB: must hold .* smallest patch, 32 x 32 x 32, which needs {needed}"
    ):
        largest_that_fits(SIZES, Machine(1000.0, largest=largest).cost, 10**7)


def test_given_patch_is_not_called_the_smallest() -> None:
    with pytest.raises(ValueError, match="must hold a step with the patch, 32 x 32 x 32, which needs 0"):
        largest_that_fits(SIZES[:1], Machine(1000.0).cost, 10**7)
