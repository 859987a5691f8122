"""Costs of steps keep their ratios, and results are compared case by case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import ttest_rel

from hybridseg.app.benchmarks import VARIANTS, Ablation
from hybridseg.bundles import bundle_path
from hybridseg.networks import create_model

OURS = {name: definition for name, definition in VARIANTS.items() if definition["_target_"].endswith("create_model")}


@pytest.fixture
def ablation(tmp_path: Path) -> Ablation:
    return Ablation(bundle_path("hippocampus_mri_segmentation"), tmp_path, tmp_path, minutes=10)


def write_result(ablation: Ablation, network: str, seed: int, dice: list[float]) -> None:
    result = {"network": network, "seed": seed, "steps": 60, "parameters": 1000}
    dice_by_case = {f"case{i}": value for i, value in enumerate(dice)}
    (ablation.output / f"{network}-10min-seed{seed}.json").write_text(
        json.dumps({**result, "dice": dice_by_case, "error": None})
    )


@pytest.mark.parametrize("definition", OURS.values(), ids=list(OURS))
def test_every_variant_can_be_built(definition: dict[str, Any]) -> None:
    options = {name: value for name, value in definition.items() if name not in ("_target_", "preset")}
    with torch.device("meta"):
        assert create_model(definition["preset"], in_channels=1, out_channels=3, **options)


def test_new_costs_are_scaled_to_those_measured_before(ablation: Ablation, monkeypatch: pytest.MonkeyPatch) -> None:
    speed = {"a": 1.0, "b": 2.0, "c": 3.0}
    timed: list[list[str]] = []

    def time_steps(definitions: dict[str, Any]) -> dict[str, float]:
        timed.append(list(definitions))
        return {name: speed[name] for name in definitions}

    monkeypatch.setattr(ablation, "time_steps", time_steps)
    assert ablation.measure_costs({"a": {"x": 1}, "b": {"x": 2}}) == {"a": 1.0, "b": 2.0}
    speed |= {"a": 2.0, "c": 6.0}  # the machine is half as fast today
    assert ablation.measure_costs({"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 3}}) == {"a": 1.0, "b": 2.0, "c": 3.0}
    assert ablation.measure_costs({"a": {"x": 1}, "c": {"x": 3}}) == {"a": 1.0, "c": 3.0}
    ablation.measure_costs({"a": {"x": 1}, "b": {"x": "changed"}})
    assert timed == [["a", "b"], ["a", "c"], ["a", "b"]]


def test_results_of_another_definition_are_an_error_and_stay(
    ablation: Ablation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablation, "time_steps", lambda definitions: dict.fromkeys(definitions, 1.0))
    ablation.measure_costs({"a": {"x": 1}, "a: b": {"x": 2}})
    write_result(ablation, "a", 0, [0.5])
    ablation.measure_costs({"a": {"x": 1}, "a: b": {"x": "changed"}})  # which has no results
    with pytest.raises(
        ValueError, match=r"a-10min-seed0.json: trained with another definition of 'a': use another folder"
    ):
        ablation.measure_costs({"a": {"x": "changed"}})
    assert (ablation.output / "a-10min-seed0.json").is_file()


def test_networks_train_on_the_cpu_even_if_there_is_a_gpu(ablation: Ablation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert ablation.parser({}).get_parsed_content("device") == torch.device("cpu")


def test_networks_are_compared_by_case_over_shared_seeds(ablation: Ablation) -> None:
    (ablation.output / "costs.json").write_text(json.dumps({name: {"seconds": 0.5} for name in "abc"}))
    write_result(ablation, "a", 0, [0.8, 0.9, 0.7])
    write_result(ablation, "a", 1, [0.9, 0.9, 0.8])
    write_result(ablation, "b", 0, [0.7, 0.9, 0.8])
    report = ablation.report(["a", "b", "c"], [0, 1])
    assert [line.split()[0] for line in report.splitlines()] == ["network", "a", "b"]
    _, second = json.loads((ablation.output / "ablation.json").read_text())["networks"]
    interval = ttest_rel([0.8, 0.9, 0.7], [0.7, 0.9, 0.8]).confidence_interval(0.95)  # with the seed that both have
    assert second["difference"] == pytest.approx(0, abs=1e-9)
    assert second["interval"] == pytest.approx([interval.low, interval.high])
    assert (second["seeds"], second["dice"]) == ([0], pytest.approx(0.8))
    write_result(ablation, "b", 1, [0.8, 0.9, 0.6])
    ablation.report(["a", "b", "c"], [0, 1])
    _, second = json.loads((ablation.output / "ablation.json").read_text())["networks"]
    assert second["difference"] == pytest.approx((0.85 + 0.9 + 0.75 - 0.75 - 0.9 - 0.7) / 3)
