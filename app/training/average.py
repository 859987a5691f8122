"""A moving average of the weights, which is validated and saved in place of the weights themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

EXPONENT = 16.97
"""Of the power by which a step's weight grows; the standard deviation of the average is 5 % of the steps so far."""


class AverageWeights(AveragedModel):
    """Average the weights over the last steps of a training: a power-function moving average.

    Step s has a weight that grows as s to the power of `EXPONENT` (Karras et al. 2024, https://arxiv.org/abs/2312.02696,
    equation 2). The average covers about the last tenth of the steps so far, in a short and in a long training, and
    follows the first steps at once. docs/ablation/LOG.md has what it gains.

    The network with these weights is `module`; the state dict also has the number of steps, so a resumed average equals
    the uninterrupted one.

    Args:
        network: the network in training.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(undistributed(network), multi_avg_fn=update)


class UpdateAverage:
    """Take the network's weights into the average after each step.

    Args:
        average: the average.
        network: the network in training.
    """

    def __init__(self, average: AverageWeights, network: nn.Module) -> None:
        self.average = average
        self.network = undistributed(network)

    def attach(self, trainer: Engine) -> None:
        """Register with the trainer; MONAI's engines call this for each handler."""
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self) -> None:
        """Update the average."""
        self.average.update_parameters(self.network)


def undistributed(network: nn.Module) -> nn.Module:
    """Return a network without DistributedDataParallel around it."""
    return network.module if isinstance(network, DistributedDataParallel) else network


@torch.no_grad()
def update(averages: Sequence[Tensor], weights: Sequence[Tensor], steps: Any) -> None:
    """Move averages towards weights.

    Args:
        averages: averages so far, changed in place.
        weights: weights after this step.
        steps: number of steps in the averages.
    """
    share = 1 - (1 - 1 / (int(steps) + 1)) ** (EXPONENT + 1)
    for average, weight in zip(averages, weights, strict=True):
        average.lerp_(weight, share)
