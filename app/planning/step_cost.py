"""Measure what a training step costs, and find the largest patch whose step fits into the memory.

A step is measured in its own process, in which nothing was allocated before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
from monai.bundle import ConfigParser

from hybridseg.app.runtime.child_process import ChildError, answer_json, run_json
from hybridseg.app.runtime.machine import peak_memory, synchronize
from hybridseg.app.training.step import Step
from hybridseg.networks.validation import Triple

STEPS = 2
"""Steps that are measured; the first is slower, since it allocates memory."""
GROWTH = 4
"""The next patch has at most this many times the voxels of the last one that fitted."""


@dataclass(frozen=True)
class StepCost:
    """Cost of a training step.

    Attributes:
        bytes: peak memory beyond the network's weights.
        seconds: time of the faster of two steps.
    """

    bytes: int
    seconds: float


def largest_that_fits(
    sizes: Sequence[Triple], cost: Callable[[Triple], StepCost | None], memory: int
) -> tuple[Triple, StepCost]:
    """Find the largest patch whose training step fits into the memory.

    Memory grows nearly in proportion to voxels, so the memory of one patch predicts which to try next; a patch that is
    expected to need too much is tried only if it is the next larger one.

    Args:
        sizes: patches (D, H, W) in voxels, the smallest first.
        cost: measures a step with a patch; None if memory ran out.
        memory: bytes that a step may need.

    Returns:
        The largest patch that fits, and the cost of its step.

    Raises:
        ValueError: even the smallest patch needs too much.
    """
    voxels = [math.prod(size) for size in sizes]
    best = cost(sizes[0])
    if best is None or best.bytes > memory:
        patch = "the smallest patch" if len(sizes) > 1 else "the patch"
        raise memory_error(memory, sizes[0], best.bytes if best else None, patch=patch)
    fits, too_large = 0, len(sizes)
    while fits + 1 < too_large:
        expected = min(voxels[fits] * memory / best.bytes, GROWTH * voxels[fits])
        index = max(index for index in range(fits, too_large) if voxels[index] <= expected)
        index = max(index, fits + 1)
        found = cost(sizes[index])
        if found is not None and found.bytes <= memory:
            fits, best = index, found
        else:
            too_large = index
    return sizes[fits], best


def memory_error(memory: int, size: Sequence[int], needed: int | None, *, patch: str = "the patch") -> ValueError:
    """Return the error for a step that does not fit into the memory.

    Args:
        memory: bytes that a step may need.
        size: the patch (D, H, W) in voxels.
        needed: bytes that the step needs; None if memory ran out.
        patch: what the patch is.
    """
    shown = " x ".join(map(str, size))
    needs = "more than the device has" if needed is None else f"{needed / 1e9:.2f} GB"
    return ValueError(f"memory: {memory / 1e9:g} GB: must hold a step with {patch}, {shown}, which needs {needs}")


def measure_step(config: Mapping[str, Any], *, channels: int, label_channels: int) -> StepCost | None:
    """Run the training step of a `train.json` on noise, and measure it.

    Args:
        config: content of `train.json`, with `patch_size`, `batch_size` and `patches`.
        channels: number of channels of an image.
        label_channels: 1 for a label map, otherwise the number of regions.

    Returns:
        The cost of the step; None if memory ran out.

    Raises:
        ChildError: the step failed for another reason.
    """
    request = {"config": config, "channels": channels, "label_channels": label_channels}
    try:
        return StepCost(**run_json(__name__, request, task="a training step of the planned network"))
    except ChildError as error:
        if error.out_of_memory:
            return None
        raise


def steps_on_noise(config: Mapping[str, Any], channels: int, label_channels: int) -> dict[str, Any]:
    """Measure training steps on noise in this process; see `measure_step`."""
    with TemporaryDirectory() as folder:
        parser = ConfigParser({**config, "run_dir": str(Path(folder) / "run")})
        step = Step(parser)
        samples = config["batch_size"] * config.get("patches", 1)
        size = (samples, channels, *config["patch_size"])
        label = torch.randint(2, (samples, label_channels, *config["patch_size"])).float()
        batch = {"image": torch.randn(size), "label": label}
        with peak_memory(step.device) as peak:
            seconds = []
            for _ in range(STEPS):
                start = perf_counter()
                step(batch)
                synchronize(step.device)
                seconds.append(perf_counter() - start)
    return asdict(StepCost(peak[0], min(seconds)))


if __name__ == "__main__":
    answer_json(steps_on_noise)
