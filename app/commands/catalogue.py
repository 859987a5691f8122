"""All commands by name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

COMMANDS: Mapping[str, str] = {
    "demo": "demo:Demo",
    "info": "info:Info",
    "plan": "plan:Plan",
    "train": "train:Train",
    "crossval": "crossval:Crossval",
    "predict": "predict:Predict",
    "evaluate": "evaluate:Evaluate",
    "report": "report:Report",
    "view": "view:View",
    "export": "export:Export",
    "pack": "pack:Pack",
    "store": "store:StoreCommand",
    "bench network": "bench_network:BenchNetwork",
    "bench inference": "bench_inference:BenchInference",
    "bench loading": "bench_loading:BenchLoading",
    "bench ablation": "bench_ablation:BenchAblation",
    "bench robustness": "bench_robustness:BenchRobustness",
    "completion": "completion:Completion",
}
"""Module in `commands` and class of each command; a command's name may be two words."""


def load(name: str) -> Any:
    """Import the class of a command."""
    module, _, attribute = COMMANDS[name].partition(":")
    return getattr(import_module(f"hybridseg.app.commands.{module}"), attribute)
