"""Each epoch's loss, learning rate, gradient norm, speed and waiting are measured, and the Dice of each label."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events

from hybridseg.app.training.progress.metrics import TrainingMetrics, label_dice

LOSS_OF_PROCESSES = """
import json, sys, torch, torch.distributed as dist
from ignite.engine import Engine
from hybridseg.app.training.progress.metrics import TrainingMetrics

dist.init_process_group("gloo")
trainer = Engine(lambda engine, batch: {"loss": torch.tensor(1.0 + 2 * dist.get_rank())})
trainer.optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
TrainingMetrics(Engine(lambda engine, batch: None), []).attach(trainer)
metrics = trainer.run([{"image": torch.zeros(1)}]).metrics
if dist.get_rank() == 0:
    print(json.dumps(metrics["loss"]))
dist.destroy_process_group()
"""


def train(losses: list[float], norms: list[float], validator: Engine) -> dict[str, float]:
    """Train an epoch with these losses and gradient norms on batches of two samples, and return the metrics."""

    def step(engine: Any, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        engine.state.gradient_norm = norms[engine.state.iteration - 1]
        return {"loss": torch.tensor(losses[engine.state.iteration - 1])}

    trainer: Any = Engine(step)
    trainer.optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    TrainingMetrics(validator, ["liver", "left atrium (LA)"]).attach(trainer)

    def next_rate() -> None:
        trainer.optimizer.param_groups[0]["lr"] = 0.1  # as a schedule does at the end of an epoch

    trainer.add_event_handler(Events.EPOCH_COMPLETED, next_rate)
    trainer.run([{"image": torch.zeros(2, 1)}] * len(losses), max_epochs=1)
    return trainer.state.metrics


def test_epoch_is_measured() -> None:
    metrics = train([1.0, 3.0], [0.5, 1.5], Engine(lambda engine, batch: None))
    assert {name: metrics[name] for name in ("loss", "learning_rate", "gradient_norm")} == {
        "loss": 2.0,
        "learning_rate": 0.5,
        "gradient_norm": 1.0,
    }
    assert metrics["samples_per_second"] > 0
    assert 0 <= metrics["waiting"] <= 1


def test_loss_is_the_mean_over_processes(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(LOSS_OF_PROCESSES)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run([*launcher, tmp_path / "job.py"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == 2.0


def test_steps_that_a_loss_scaler_skipped_have_no_norm() -> None:
    assert train([1.0, 1.0], [float("inf"), 2.0], Engine(lambda engine, batch: None))["gradient_norm"] == 2.0


def test_dice_of_a_label_is_the_mean_over_cases_that_have_it() -> None:
    validator: Any = Engine(lambda engine, batch: None)
    validator.state.key_metric_name = "dice"
    validator.state.metrics = {"dice": 0.6}
    validator.state.metric_details = {"dice": torch.tensor([[0.5, float("nan")], [1.0, 0.25]])}
    TrainingMetrics(validator, ["liver", "left atrium (LA)"]).measure_labels(validator)
    assert label_dice(validator.state.metrics) == {"liver": 0.75, "left atrium _LA_": 0.25}


def test_label_that_no_reference_has_is_left_out() -> None:
    validator: Any = Engine(lambda engine, batch: None)
    validator.state.key_metric_name = "dice"
    validator.state.metrics = {}
    validator.state.metric_details = {"dice": torch.tensor([[0.5, float("nan")]])}
    TrainingMetrics(validator, ["liver", "spleen"]).measure_labels(validator)
    assert label_dice(validator.state.metrics) == {"liver": pytest.approx(0.5)}
