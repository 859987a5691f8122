"""A validation whose scores a test sets."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events


@pytest.fixture
def validator() -> Engine:
    """An engine whose key metric a test sets."""
    engine: Any = Engine(lambda engine, batch: None)
    engine.state.key_metric_name = "dice"
    return engine


def validate(validator: Engine, epoch: int, dice: float, scores: list[float] | None = None) -> None:
    """Validate with a mean Dice of the scores of cases, which are NaN where a case has no label."""
    validator.state.epoch = epoch
    validator.state.metrics = {"dice": dice}
    if scores is not None:
        state: Any = validator.state
        state.metric_details = {"dice": torch.tensor([scores])}
    validator.fire_event(Events.COMPLETED)
