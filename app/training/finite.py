"""Stop a training whose loss or gradient is no longer finite, before the step that would spoil the weights."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine
from monai.engines import IterationEvents
from torch import Tensor, nn

from .run.run_folder import latest_checkpoint

SCALER_LIMIT = 10
"""Batches in a row whose gradient may overflow while the loss scaler of float16 looks for its scale."""

logger = logging.getLogger("hybridseg.training")


class FiniteGradients:
    """Stop at the first batch whose gradient is NaN or infinite, before the step that would spoil the weights.

    The norm of each batch's gradient is in `state.gradient_norm` of the trainer.

    With a loss scaler (float16) such batches are normal: it skips them and lowers its scale. Then training stops only
    after `SCALER_LIMIT` of them in a row. Under torchrun all processes share the gradient, so all stop together.

    Args:
        network: the network that trains.
        run_dir: folder of the run, to name its last checkpoint.

    Attributes:
        skipped: batches in a row that the loss scaler skipped.
    """

    def __init__(self, network: nn.Module, run_dir: str | Path) -> None:
        self.network = network
        self.run_dir = run_dir
        self.skipped = 0

    def attach(self, trainer: Engine) -> None:
        """Attach to a trainer, as MONAI does with each handler."""
        trainer.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)
        trainer.logger.addFilter(is_news)

    def __call__(self, trainer: Engine) -> None:
        """Check the gradient between the backward pass and the step.

        Raises:
            FloatingPointError: training cannot continue.
        """
        gradients = (parameter.grad for parameter in self.network.parameters() if parameter.grad is not None)
        scaler: Any = getattr(trainer, "scaler", None)
        state: Any = trainer.state
        state.gradient_norm = torch.nn.utils.get_total_norm(gradients).item() / (scaler.get_scale() if scaler else 1)
        if math.isfinite(state.gradient_norm):
            self.skipped = 0
            return
        cases = ", ".join(dict.fromkeys(case_names(state.batch))) or "unknown"
        loss = torch.as_tensor(state.output["loss"]).item()
        problem = f"epoch {state.epoch}, cases {cases}: loss {loss:g}, gradient not finite"
        self.skipped += 1
        if scaler is not None and self.skipped <= SCALER_LIMIT:
            logger.warning(f"{problem}: step skipped, {self.skipped} in a row")
            return
        checkpoint = latest_checkpoint(self.run_dir)
        last = f"the last good checkpoint is {checkpoint}" if checkpoint else "there is no checkpoint yet"
        raise FloatingPointError(f"{problem}: training stopped; {last}; try a smaller learning_rate")


def is_news(record: logging.LogRecord) -> bool:
    """Return False for what ignite logs of an error that it raises, twice, since whoever catches the error shows it."""
    return "terminating due to exception" not in record.getMessage()


def case_names(batch: Any) -> Iterable[str]:
    """Return the names of the cases in a batch of `LabelledCase`s."""
    names = batch.get("case", ()) if isinstance(batch, dict) else ()
    return [names] if isinstance(names, str) else names


def is_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether every value of every tensor is finite."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
