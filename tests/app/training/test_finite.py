"""A training stops before a gradient that is not finite spoils the weights."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from monai.engines import SupervisedTrainer
from torch import nn

from hybridseg.app.training import BestModel, FiniteGradients


def make_trainer(network: nn.Module, losses: list[float], run_dir: Path) -> SupervisedTrainer:
    """Train on batches whose losses are multiplied by given numbers."""
    data = [
        {"image": torch.ones(1, 1), "label": torch.tensor(factor), "case": [f"case_{i}"]}
        for i, factor in enumerate(losses)
    ]
    return SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=data,  # pyright: ignore[reportArgumentType]
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        loss_function=lambda prediction, factor: prediction.sum() * factor,
        train_handlers=[FiniteGradients(network, run_dir)],
        decollate=False,
    )


@pytest.mark.parametrize("factor", [math.nan, math.inf])
@pytest.mark.parametrize("checkpoint", [False, True])
def test_training_stops_before_the_weights_are_spoilt(
    factor: float, checkpoint: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if checkpoint:
        (tmp_path / "checkpoint_epoch=4.pt").touch()
    network = nn.Linear(1, 1)
    last = "the last good checkpoint is .*checkpoint_epoch=4.pt" if checkpoint else "there is no checkpoint yet"
    with pytest.raises(
        FloatingPointError, match=rf"epoch 1, cases case_1: loss .*, gradient not finite: .*; {last}; try a"
    ):
        make_trainer(network, [1.0, factor, 1.0], tmp_path).run()
    assert "gradient not finite" not in caplog.text  # it is in the error
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())


def test_finite_gradients_change_nothing(tmp_path: Path) -> None:
    torch.manual_seed(0)
    guarded, free = nn.Linear(1, 1), nn.Linear(1, 1)
    free.load_state_dict(guarded.state_dict())
    make_trainer(guarded, [1.0, 2.0], tmp_path).run()
    optimizer = torch.optim.SGD(free.parameters(), lr=0.1)
    for factor in (1.0, 2.0):
        optimizer.zero_grad()
        (free(torch.ones(1, 1)).sum() * factor).backward()
        optimizer.step()
    assert torch.equal(guarded.weight, free.weight)


def test_loss_scaler_may_skip_a_few_batches(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    network = nn.Linear(1, 1)
    guard = FiniteGradients(network, tmp_path)
    trainer: Any = Engine(lambda engine, batch: None)
    trainer.scaler = torch.amp.GradScaler("cpu")
    trainer.state.batch, trainer.state.output, trainer.state.epoch = {"case": "a"}, {"loss": math.inf}, 2
    network.weight.grad = torch.full_like(network.weight, math.inf)
    with caplog.at_level(logging.WARNING, "hybridseg.training"):
        for _ in range(10):
            guard(trainer)
    assert "epoch 2, cases a: loss inf, gradient not finite: step skipped, 10 in a row" in caplog.text
    with pytest.raises(FloatingPointError, match="training stopped"):
        guard(trainer)


def test_best_model_is_never_written_with_nan(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    network = nn.Linear(1, 1)
    best = BestModel(network, tmp_path / "model.pt")
    validator: Any = Engine(lambda engine, batch: None)
    validator.state.key_metric_name, validator.state.metrics, validator.state.epoch = "dice", {"dice": 0.5}, 1
    best(validator)
    kept = (tmp_path / "model.pt").read_bytes()
    nn.init.constant_(network.weight, math.nan)
    validator.state.metrics = {"dice": 0.9}
    best(validator)
    assert (tmp_path / "model.pt").read_bytes() == kept
    assert best.score == 0.5
    assert "weights are not finite" in caplog.text


@pytest.mark.parametrize(("scale", "norm"), [(None, 5.0), (2.0, 2.5)])
def test_norm_of_the_gradient_is_that_of_the_unscaled_loss(tmp_path: Path, scale: float, norm: float) -> None:
    network = nn.Linear(2, 1, bias=False)
    trainer: Any = Engine(lambda engine, batch: None)
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=scale) if scale else None
    network.weight.grad = torch.tensor([[3.0, 4.0]])
    FiniteGradients(network, tmp_path)(trainer)
    assert trainer.state.gradient_norm == norm
