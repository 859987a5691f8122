"""What a training measures each epoch, for its log, its curves and trackers of experiments."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from .idle import IdleTime

DICE = "dice/"
"""Before the name of a label, in the name of its metric."""
SPECIAL = re.compile(r"[^\w .\-]")
"""Characters of labels that not every tracker of experiments allows in the name of a metric."""


class TrainingMetrics:
    """Put what each epoch shows into `state.metrics` of the trainer, and the Dice of each label into the validator's.

    The trainer has the mean `loss` and `samples_per_second` of all processes, the `learning_rate`, the mean
    `gradient_norm` (as `FiniteGradients` finds it), and `waiting`, the share of the time that the device waits for
    data. The validator has `dice/LABEL` for each label: the mean over the cases whose reference has it.

    Args:
        validator: the engine that validates, whose key metric is MONAI's `MeanDice`.
        labels: names of its channels, without the background.
    """

    def __init__(self, validator: Engine, labels: Sequence[str]) -> None:
        self.validator = validator
        self.labels = [SPECIAL.sub("_", label) for label in labels]
        self.idle = IdleTime()
        self.losses: list[float] = []
        self.norms: list[float] = []
        self.samples = 0

    def attach(self, trainer: Engine) -> None:
        """Register with the trainer, before a handler that validates at the end of an epoch."""
        self.idle.attach(trainer)
        trainer.add_event_handler(Events.EPOCH_STARTED, self.begin)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self.add)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self.finish)
        self.validator.add_event_handler(Events.EPOCH_COMPLETED, self.measure_labels)

    def begin(self, trainer: Any) -> None:
        """Begin an epoch."""
        self.losses, self.norms, self.samples = [], [], 0
        trainer.state.metrics["learning_rate"] = trainer.optimizer.param_groups[0]["lr"]

    def add(self, trainer: Engine) -> None:
        """Add a step; `loss` is this process's mean of the epoch so far, which the progress bar shows."""
        state: Any = trainer.state
        self.losses.append(state.output["loss"].item())
        state.metrics["loss"] = sum(self.losses) / len(self.losses)
        if math.isfinite(norm := getattr(state, "gradient_norm", math.nan)):
            self.norms.append(norm)
        self.samples += len(state.batch["image"])

    def finish(self, trainer: Engine) -> None:
        """End an epoch, in every process."""
        metrics = trainer.state.metrics
        metrics["loss"] = idist.all_reduce(metrics["loss"]) / idist.get_world_size()  # of all processes
        if self.norms:
            metrics["gradient_norm"] = sum(self.norms) / len(self.norms)
        metrics["samples_per_second"] = self.samples * idist.get_world_size() / max(self.idle.seconds, 1e-9)
        metrics["waiting"] = self.idle.share

    def measure_labels(self, validator: Any) -> None:
        """Add the mean Dice of each label that a reference has."""
        details: Mapping[str, Any] = getattr(validator.state, "metric_details", {})
        scores = details.get(validator.state.key_metric_name)
        if scores is None:
            return
        for label, mean in zip(self.labels, torch.as_tensor(scores).nanmean(dim=0).tolist(), strict=True):
            if math.isfinite(mean):
                validator.state.metrics[f"{DICE}{label}"] = mean


def label_dice(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the Dice of each label among the metrics of a validation, by name."""
    return {name.removeprefix(DICE): value for name, value in metrics.items() if name.startswith(DICE)}
