"""What a training step of a bundle costs: measured in a process of its own, before which nothing was allocated."""

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
from hybridseg.app.runtime.machine import peak_memory
from hybridseg.app.training.step import Step
from hybridseg.networks.validation import Triple

STEPS = 2
"""The first of which is slower, as memory is asked for."""


@dataclass(frozen=True)
class StepCost:
    """Of a training step.

    Attributes:
        bytes: the most memory held, beyond the network's weights.
        seconds: of the faster of two.
    """

    bytes: int
    seconds: float


def measure_step(config: Mapping[str, Any], *, channels: int, label_channels: int) -> StepCost | None:
    """Do a training step on noise, as `train.json` has it.

    Args:
        config: content of `train.json`, with `patch_size`, `batch_size` and `patches`.
        channels: of an image.
        label_channels: 1 for a label map, otherwise one for each region.

    Returns:
        What it cost; None where there was not memory enough.

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
        with peak_memory(torch.device(step.device)) as peak:
            seconds = []
            for _ in range(STEPS):
                start = perf_counter()
                step(batch)
                if step.device.type == "cuda":
                    torch.cuda.synchronize(step.device)
                seconds.append(perf_counter() - start)
    return asdict(StepCost(peak[0], min(seconds)))


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


if __name__ == "__main__":
    answer_json(steps_on_noise)
