"""What is measured is told in full, and a network that fails is a row of its own."""

from __future__ import annotations

import json
import re

import pytest

from hybridseg.app.benchmarks import network_cost as network_costs
from hybridseg.app.benchmarks.network_cost import measure
from hybridseg.app.benchmarks.network_workload import NetworkTask

from ..conftest import hybridseg

TASK = NetworkTask(
    networks=("tiny", "SegResNet"),
    shape=(1, 1, 16, 16, 16),
    classes=2,
    device="cpu",
    threads=1,
    repeats=1,
    precisions=("fp32", "bf16"),
    channels_last=False,
    compile=False,
    keep_memory=True,
    profile=False,
)
OPTIONS = ["bench", "network", "--size", "16", "16", "16", "--classes", "2", "--repeats", "1"]


def test_every_cost_of_every_network_is_told() -> None:
    outcome = hybridseg(*OPTIONS, "--networks", "tiny", "SegResNet", "--json")
    assert outcome.code == 0
    told = json.loads(outcome.out)
    assert told["task"]["networks"] == ["tiny", "SegResNet"]
    assert told["machine"]["gigaflops"]["fp32"] > 0
    for precision in ("fp32", "bf16"):
        assert [row["network"] for row in told["costs"][precision]] == ["tiny", "SegResNet"]
        for row in told["costs"][precision]:
            assert 0 < row["forward"] < row["step"]
            assert row["parameters"] > 1e5
            assert row["multiply_adds"] > 1e6
            assert row["memory"] >= 0
            assert 0 < row["rate"] < 1.5


def test_the_table_compares_with_the_first() -> None:
    outcome = hybridseg(*OPTIONS, "--networks", "tiny", "SegResNet", "--precisions", "fp32", "--profile")
    *_, header, first, second, profile = outcome.out.splitlines()
    assert profile.startswith("a step of tiny: convolutions ")
    assert sum(int(share) for share in re.findall(r"(\d+)%", profile)) == pytest.approx(100, abs=4)
    assert header.split()[:3] == ["network", "parameters", "multiply-adds"]
    assert first.startswith("tiny")
    assert "x" not in first
    assert second.startswith("SegResNet")
    assert second.count("x") == 3


def test_a_network_that_fails_is_a_row_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_in_child(what: str, task: NetworkTask, networks: tuple[str, ...], precisions: tuple[str, ...]) -> dict:
        words = {"forward": 1.0, "step": 2.0, "parameters": 5, "multiply_adds": 10, "memory": 7}
        found: dict = {precision: {name: dict(words) for name in networks} for precision in precisions}
        if networks == ("SegResNet",):
            found["fp32"] = {"SegResNet": {"error": "out of memory"}}
        return found | {"machine": {"gigaflops": {"fp32": 1e-9, "bf16": 1e-9}}}

    monkeypatch.setattr(network_costs, "run_in_child", run_in_child)
    costs = measure(TASK, progress=False)["costs"]
    assert costs["fp32"][1]["error"] == "out of memory"
    assert [row["rate"] for row in (costs["fp32"][0], *costs["bf16"])] == [pytest.approx(2 * 3 * 10 / 2)] * 3


def test_a_process_that_dies_is_an_error_of_its_networks() -> None:
    bad = NetworkTask(**{**TASK.__dict__, "device": "nowhere"})
    found = network_costs.run_in_child("memory", bad, ("tiny",), ("fp32",))
    assert found["fp32"]["tiny"]["error"].startswith("RuntimeError: ")


def test_a_process_that_dies_while_it_times_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "false")
    outcome = hybridseg(*OPTIONS, "--networks", "tiny")
    died = "RuntimeError: the process that times the networks has died: exit code 1"
    assert (outcome.code, outcome.err) == (1, f"hybridseg bench network: {died}\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--networks", "nnFormer"], "networks: 'nnFormer': must be one of tiny, small, base, SwinUNETR"),
        (["--repeats", "0"], "repeats: 0: must be at least 1"),
        (["--size", "0", "8", "8"], r"size: (0, 8, 8): must be positive"),
        (["--device", "tpu"], "device: 'tpu': must be auto, cpu, cuda or cuda:N"),
    ],
)
def test_wrong_usage_is_one_line(words: list[str], message: str) -> None:
    outcome = hybridseg("bench", "network", *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
