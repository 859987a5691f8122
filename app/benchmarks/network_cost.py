"""Measure time, memory and operations of networks for `hybridseg bench network`, each in a child process.

One process times all networks in turns, so that a busy machine slows all of them alike; another process per network
measures its memory, since nothing was allocated there before. `network_workload` is what these processes run.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tqdm import tqdm

from hybridseg.app.runtime.child_process import ChildError, run_json
from hybridseg.app.runtime.threads import thread_environment
from hybridseg.networks import PRESETS

from . import network_workload
from .network_workload import REFERENCE_NETWORKS, NetworkTask

KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**34), "MALLOC_TRIM_THRESHOLD_": str(2**34)}
"""Environment in which glibc keeps freed memory."""
PASSES_PER_STEP = 3
"""Forward passes whose operations a training step has: the backward pass has those of two."""


def measure_networks(task: NetworkTask, *, progress: bool) -> dict[str, Any]:
    """Measure time and memory of each network in each precision.

    Args:
        task: what to measure.
        progress: show a progress bar.

    Returns:
        `task`, `machine`, and `costs` by precision: for each network its `parameters`, `multiply_adds`, seconds
        `forward` and `step`, bytes of `memory` and `rate`, or a one-line `error`.

    Raises:
        ValueError: a network is unknown.
        RuntimeError: the process that times the networks failed.
    """
    for name in task.networks:
        if name not in PRESETS and name not in REFERENCE_NETWORKS:
            raise ValueError(f"networks: {name!r}: must be one of {', '.join([*PRESETS, *REFERENCE_NETWORKS])}")
    jobs = [("time", task.networks, task.precisions)]
    jobs += [("memory", (name,), (precision,)) for name in task.networks for precision in task.precisions]
    machine: dict[str, Any] = {}
    rows: dict[str, dict[str, dict[str, Any]]] = {precision: {} for precision in task.precisions}
    for what, networks, precisions in tqdm(jobs, desc="measuring", leave=False, disable=not progress):
        found = run_in_child(what, task, networks, precisions)
        if what == "time" and "machine" not in found:
            reason = found[task.precisions[0]][task.networks[0]]["error"]
            raise RuntimeError(f"the process that times the networks failed: {reason}")
        machine |= found.pop("machine", {})
        for precision in precisions:
            for name in networks:
                row = rows[precision].setdefault(name, {"network": name})
                row |= found[precision][name]
    for precision, by_name in rows.items():
        for row in by_name.values():
            if "error" not in row:
                operations = PASSES_PER_STEP * 2 * row["multiply_adds"]
                row["rate"] = operations / row["step"] / (machine["gigaflops"][precision] * 1e9)
    costs = {precision: list(by_name.values()) for precision, by_name in rows.items()}
    if task.profile:
        machine["profile"] = {
            precision: run_in_child("profile", task, task.networks[:1], (precision,))[precision][task.networks[0]]
            for precision in task.precisions
        }
    return {"task": asdict(task), "machine": machine, "costs": costs}


def run_in_child(
    what: str, task: NetworkTask, networks: tuple[str, ...], precisions: tuple[str, ...]
) -> dict[str, Any]:
    """Measure in a child process; if it fails, perhaps for lack of memory, each of its networks has that error."""
    request = {"what": what, "task": {**asdict(task), "networks": networks, "precisions": precisions}}
    environment = {**thread_environment(task.threads), "PYTHONWARNINGS": "ignore"}
    environment |= KEEP_MEMORY if task.keep_memory else {}
    try:
        return run_json(network_workload.__name__, request, task=f"measuring {what}", environment=environment)
    except ChildError as error:
        return {precision: {name: {"error": error.reason} for name in networks} for precision in precisions}
