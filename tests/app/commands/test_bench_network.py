"""`hybridseg bench network` measures every network; one that fails has an error in its row."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from hybridseg.app.runtime.child_process import ChildError

from ..conftest import hybridseg

OPTIONS = ["bench", "network", "--size", "16", "16", "16", "--classes", "2", "--repeats", "1"]


def check_row(row: dict[str, Any], gigaflops: float) -> None:
    """Check that the costs of a network are there, and that its rate follows from them."""
    assert row["forward"] > 0
    assert row["parameters"] > 1e5
    assert row["multiply_adds"] > 1e6
    assert row["memory"] >= 0
    assert row["rate"] == pytest.approx(3 * 2 * row["multiply_adds"] / row["step"] / (gigaflops * 1e9))


@pytest.mark.slow
def test_every_network_is_measured_in_every_precision() -> None:
    result = hybridseg(*OPTIONS, "--networks", "tiny", "SegResNet", "--json")
    assert result.code == 0
    record = json.loads(result.out)
    assert record["task"]["networks"] == ["tiny", "SegResNet"]
    for precision in ("fp32", "bf16"):
        assert [row["network"] for row in record["costs"][precision]] == ["tiny", "SegResNet"]
        for row in record["costs"][precision]:
            check_row(row, record["machine"]["gigaflops"][precision])


def test_table_compares_with_the_first_network() -> None:
    result = hybridseg(*OPTIONS, "--networks", "tiny", "SegResNet", "--precisions", "fp32", "--profile")
    *_, header, first, second, profile = result.out.splitlines()
    assert profile.startswith("a step of tiny: ")
    assert "convolutions " in profile
    assert sum(int(share) for share in re.findall(r"(\d+)%", profile)) == pytest.approx(100, abs=4)
    assert header.split()[:3] == ["network", "parameters", "multiply-adds"]
    assert first.startswith("tiny")
    assert "x" not in first
    assert second.startswith("SegResNet")
    assert second.count("x") == 3


def test_network_that_fails_is_a_row_and_the_others_continue(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(module: str, request: Any, **_: Any) -> dict[str, Any]:
        networks = request["task"]["networks"]
        if request["what"] == "memory" and networks == ("SegResNet",):
            raise ChildError("measuring memory", 1, "MemoryError: out of memory")
        costs = {"forward": 1.0, "step": 2.0, "parameters": 5e6, "multiply_adds": 1e10, "memory": 1e9}
        machine = {"processor": "CPU", "threads": 1, "torch": "2", "gigaflops": {"fp32": 60.0}}
        return {"fp32": {name: dict(costs) for name in networks}, "machine": machine}

    monkeypatch.setattr("hybridseg.app.benchmarks.network_cost.run_json", answer)
    result = hybridseg(*OPTIONS, "--networks", "tiny", "SegResNet", "--precisions", "fp32")
    assert result.code == 1
    *_, measured, failed = result.out.splitlines()
    assert re.split("  +", measured) == ["tiny", "5.0 M", "10 G", "1 s", "2 s", "1 GB", "50%"]
    assert re.split("  +", failed) == ["SegResNet", "MemoryError: out of memory"]


def test_failed_timing_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "false")
    result = hybridseg(*OPTIONS, "--networks", "tiny")
    reason = "RuntimeError: the process that times the networks failed: exit code 1"
    assert (result.code, result.err) == (1, f"hybridseg bench network: {reason}\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--networks", "nnFormer"], "networks: 'nnFormer': must be one of tiny, small, light, base, SwinUNETR"),
        (["--repeats", "0"], "repeats: 0: must be at least 1"),
        (["--size", "0", "8", "8"], r"size: (0, 8, 8): must be positive"),
        (["--device", "tpu"], "device: 'tpu': must be auto, cpu, cuda or cuda:N"),
    ],
)
def test_wrong_usage_is_a_one_line_error(words: list[str], message: str) -> None:
    result = hybridseg("bench", "network", *words)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert result.err.count("\n") == 1
