"""The averaged weights cover the last steps, and survive a checkpoint."""

from __future__ import annotations

import copy

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from hybridseg.app.training.average import EXPONENT, AverageWeights, UpdateAverage


def set_weight(network: nn.Linear, value: float) -> None:
    with torch.no_grad():
        network.weight.fill_(value)


def weight(average: AverageWeights) -> float:
    """Return the averaged weight."""
    return float(average.state_dict()["module.weight"])


def averages(average: AverageWeights, network: nn.Linear, values: list[float]) -> list[float]:
    """Return the average after each value."""
    found, update = [], UpdateAverage(average, network)
    for value in values:
        set_weight(network, value)
        update()
        found.append(weight(average))
    return found


@pytest.fixture
def network() -> nn.Linear:
    return nn.Linear(1, 1, bias=False)


def test_first_step_replaces_the_initial_weights(network: nn.Linear) -> None:
    assert averages(AverageWeights(network), network, [3.0]) == [3.0]


@pytest.mark.parametrize("steps", [20, 200, 2000])
def test_spread_is_a_twentieth_of_the_steps(network: nn.Linear, steps: int) -> None:
    """The weight is the share of the steps done, and then its square: the averages are its first two moments."""
    moments = []
    for power in (1, 2):
        average = AverageWeights(network)
        moments.append(averages(average, network, [(step / steps) ** power for step in range(steps)])[-1])
    assert moments[0] == pytest.approx((EXPONENT + 1) / (EXPONENT + 2), abs=1.5 / steps)
    assert (moments[1] - moments[0] ** 2) ** 0.5 == pytest.approx(0.05, abs=0.5 / steps)


def test_resumed_average_equals_the_uninterrupted_one(network: nn.Linear) -> None:
    values = [1.0, 5.0, 2.0, 8.0]
    expected = averages(AverageWeights(network), network, values)[-1]
    first, resumed = AverageWeights(network), AverageWeights(network)
    averages(first, network, values[:2])
    resumed.load_state_dict(copy.deepcopy(first.state_dict()))
    assert averages(resumed, network, values[2:])[-1] == expected


def test_trainer_updates_the_average_after_each_step(network: nn.Linear) -> None:
    trainer = Engine(lambda engine, value: set_weight(network, value))
    average = AverageWeights(network)
    UpdateAverage(average, network).attach(trainer)
    trainer.run([1.0, 3.0])
    assert 1 < weight(average) < 3
    assert average(torch.ones(1)).item() == weight(average)


def test_average_has_no_copy_of_the_training_network(network: nn.Linear) -> None:
    assert [name for name, _ in AverageWeights(network).named_parameters()] == ["module.weight"]
