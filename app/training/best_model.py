"""Keep the best weights of a training."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from .average import AverageWeights, undistributed
from .finite import is_finite
from .run.saving import save_tensors

logger = logging.getLogger("hybridseg.training")


def can_choose(validator: Engine) -> bool:
    """Return whether a validation says which weights are better: not if no validation case has a label to score.

    MONAI's mean of scores that are all undefined is 0, as that of the worst network.
    """
    state: Any = validator.state
    scores = getattr(state, "metric_details", {}).get(getattr(state, "key_metric_name", None))
    return scores is None or not bool(torch.isnan(scores).all())


class BestModel:
    """Save the weights after each validation that beats the best one so far.

    If no validation case has a label, nothing can choose, and the weights are saved after each validation, so that the
    last are kept. The file is a state dict of tensors; it is replaced as a whole.

    Args:
        network: the network in training, or the average of its weights.
        path: the file to write, such as `<run_dir>/model.pt`.
    """

    def __init__(self, network: torch.nn.Module, path: str | Path) -> None:
        self.network = network.module if isinstance(network, AverageWeights) else undistributed(network)
        self.path = Path(path)
        self.score = -math.inf
        self.epoch = 0

    def attach(self, validator: Engine) -> None:
        """Register with the validator; MONAI's engines call this for each handler."""
        validator.add_event_handler(Events.COMPLETED, self)

    def __call__(self, validator: Engine) -> None:
        state: Any = validator.state  # MONAI's engines add the key metric
        score = float(state.metrics[state.key_metric_name]) if can_choose(validator) else -math.inf
        if score > self.score or score == -math.inf == self.score:
            if not is_finite(self.network.state_dict().values()):
                logger.warning(f"epoch {state.epoch}: weights are not finite: {self.path} was not written")
                return
            self.score, self.epoch = score, state.epoch
            if idist.get_rank() == 0:
                save_tensors(self.network.state_dict(), self.path)

    def state_dict(self) -> dict[str, float]:
        """Return the state for a checkpoint: the best score and its epoch."""
        return {"score": self.score, "epoch": self.epoch}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Restore the state from a checkpoint."""
        self.score, self.epoch = state["score"], int(state["epoch"])
