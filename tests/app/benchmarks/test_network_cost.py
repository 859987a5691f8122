"""A process that measures networks and fails is an error of these networks."""

from __future__ import annotations

from hybridseg.app.benchmarks.network_cost import run_in_child
from hybridseg.app.benchmarks.network_workload import NetworkTask

TASK = NetworkTask(
    networks=("tiny", "SegResNet"),
    shape=(1, 1, 16, 16, 16),
    classes=2,
    device="nowhere",
    threads=1,
    repeats=1,
    precisions=("fp32", "bf16"),
    channels_last=False,
    compile=False,
    keep_memory=True,
    profile=False,
)


def test_process_that_fails_is_an_error_of_its_networks() -> None:
    found = run_in_child("memory", TASK, ("tiny",), ("fp32",))
    assert found["fp32"]["tiny"]["error"].startswith("RuntimeError: ")
