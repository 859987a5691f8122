"""Measure networks in this process: their time in turns, the memory of a training step, and a profile of its time."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.profiler import profile

from hybridseg.app.runtime.child_process import answer_json
from hybridseg.app.runtime.console import one_line
from hybridseg.app.runtime.machine import device_name, peak_memory, synchronize
from hybridseg.networks import PRESETS, create_model
from hybridseg.networks.inspection.cost import count_multiply_adds, count_parameters
from hybridseg.transforms.precision import DTYPES, choose_precision

from .reference_networks import dyn_unet, med_next, seg_res_net, swin_unetr

MATRIX_SIZE = 2048
KINDS: dict[str, tuple[str, ...]] = {
    "attention": ("scaled_dot_product", "bmm", "softmax"),
    "convolutions": ("conv",),
    "normalisation": ("norm",),
    "matrix products": ("mm", "addmm", "linear"),
    "activations": ("relu", "gelu"),
    "copies and sums": ("copy", "cat", "add", "roll", "clone", "fill", "zero", "stack", "mul", "sum"),
}
"""Kinds of operations by words in their names; the first match counts, and the loss is among the rest."""
REST = "the rest"
REFERENCE_NETWORKS: dict[str, Callable[[int, int], nn.Module]] = {
    "SwinUNETR": swin_unetr,
    "SwinUNETR v2": lambda channels, classes: swin_unetr(channels, classes, use_v2=True),
    "DynUNet": dyn_unet,
    "SegResNet": seg_res_net,
    "MedNeXt": med_next,
}
"""Networks of MONAI by name, made from the channels of the image and the number of classes."""


@dataclass(frozen=True, kw_only=True)
class NetworkTask:
    """What to measure: the options of `hybridseg bench network`; `shape` is (B, C, D, H, W)."""

    networks: tuple[str, ...]
    shape: tuple[int, int, int, int, int]
    classes: int
    device: str
    threads: int
    repeats: int
    precisions: tuple[str, ...]
    channels_last: bool
    compile: bool
    keep_memory: bool
    profile: bool


def make_network(name: str, task: NetworkTask) -> nn.Module:
    """Build a preset or a reference network by its name."""
    torch.manual_seed(0)
    channels = task.shape[1]
    if name in PRESETS:
        network: nn.Module = create_model(name, in_channels=channels, out_channels=task.classes, deep_supervision=False)
    else:
        network = REFERENCE_NETWORKS[name](channels, task.classes)
    if task.channels_last:
        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return network.to(task.device)


class Workload:
    """A network with an image and labels, for a forward pass or a training step."""

    def __init__(self, name: str, task: NetworkTask) -> None:
        self.network = make_network(name, task)
        self.run: Callable[[Tensor], Tensor] = torch.compile(self.network) if task.compile else self.network
        self.device = torch.device(task.device)
        generator = torch.Generator().manual_seed(0)
        self.image = torch.randn(task.shape, generator=generator).to(self.device)
        if task.channels_last:
            self.image = self.image.contiguous(memory_format=torch.channels_last_3d)
        size = (task.shape[0], *task.shape[2:])
        self.target = torch.randint(task.classes, size, generator=generator).to(self.device)

    def forward(self, precision: str) -> None:
        """Run a forward pass."""
        self.network.eval()
        with torch.inference_mode(), self.precision(precision):
            self.run(self.image)
        synchronize(self.device)

    def step(self, precision: str) -> None:
        """Run a training step without the optimizer."""
        self.network.train().zero_grad(set_to_none=True)
        with self.precision(precision):
            logits = self.run(self.image)
        cross_entropy(logits.float(), self.target).backward()
        synchronize(self.device)

    def precision(self, name: str) -> torch.autocast:
        """Return the autocast context of a precision."""
        return choose_precision(name, self.device).autocast(self.device)


def measure_time(task: NetworkTask) -> dict[str, Any]:
    """Time the fastest forward pass and training step of each network, in turns; count parameters and multiply-adds."""
    workloads: dict[str, Workload] = {}
    found: dict[str, Any] = {precision: {name: {} for name in task.networks} for precision in task.precisions}
    for turn in range(task.repeats + 1):
        for name in task.networks:
            for precision in task.precisions:
                row = found[precision][name]
                try:
                    if name not in workloads:
                        workloads[name] = Workload(name, task)
                    for what in ("forward", "step"):
                        start = perf_counter()
                        getattr(workloads[name], what)(precision)
                        if turn:
                            row[what] = min(row.get(what, math.inf), perf_counter() - start)
                except Exception as error:
                    row["error"] = one_line(error)
            if name in workloads:
                workloads[name].network.zero_grad(set_to_none=True)
    for name in task.networks:
        network = make_network(name, task)
        costs = {
            "parameters": count_parameters(network),
            "multiply_adds": count_multiply_adds(network, task.shape),
        }
        for precision in task.precisions:
            found[precision][name] |= costs
    return found | {"machine": describe_speed(task)}


def measure_memory(task: NetworkTask) -> dict[str, Any]:
    """Measure the peak memory of a training step, in bytes beyond what was held before the first."""
    (name,), (precision,) = task.networks, task.precisions
    workload = Workload(name, task)
    gc.collect()
    with peak_memory(workload.device) as peak:
        workload.step(precision)
        workload.step(precision)
    return {precision: {name: {"memory": peak[0]}}}


def profile_step(task: NetworkTask) -> dict[str, Any]:
    """Measure the share of each kind of operation in the time of a training step."""
    (name,), (precision,) = task.networks, task.precisions
    workload = Workload(name, task)
    workload.step(precision)
    with profile() as profiler:
        workload.step(precision)
    on_gpu = workload.device.type == "cuda"
    spent = dict.fromkeys([*KINDS, REST], 0.0)
    for event in profiler.key_averages():
        kind = next((kind for kind, words in KINDS.items() if any(word in event.key for word in words)), REST)
        spent[kind] += event.self_device_time_total if on_gpu else event.self_cpu_time_total
    return {precision: {name: {kind: time / sum(spent.values()) for kind, time in spent.items()}}}


def describe_speed(task: NetworkTask) -> dict[str, Any]:
    """Describe the machine, with its rate of matrix products in each precision."""
    device = torch.device(task.device)
    processor = device_name(device)
    if device.type == "cpu":
        processor += f", {torch.backends.cpu.get_cpu_capability()}"
    return {
        "processor": processor,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "gigaflops": {precision: matrix_rate(device, precision) for precision in task.precisions},
    }


def matrix_rate(device: torch.device, precision: str) -> float:
    """Return the rate of the fastest of five products of square matrices, in GFLOP/s."""
    matrix = torch.randn(MATRIX_SIZE, MATRIX_SIZE, device=device, dtype=DTYPES[precision])
    best = math.inf
    for _ in range(5):
        start = perf_counter()
        torch.mm(matrix, matrix)
        synchronize(device)
        best = min(best, perf_counter() - start)
    return 2 * MATRIX_SIZE**3 / best / 1e9


def measure_workload(what: str, task: dict[str, Any]) -> dict[str, Any]:
    """Measure networks for another process.

    Args:
        what: `time`, `memory` or `profile`.
        task: the fields of a `NetworkTask`, as JSON has them.
    """
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in task.items()}
    workload = NetworkTask(**fields)
    torch.set_num_threads(workload.threads)
    return {"time": measure_time, "memory": measure_memory, "profile": profile_step}[what](workload)


if __name__ == "__main__":
    answer_json(measure_workload)
