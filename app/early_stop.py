"""Early stopping that a resumed training goes on with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai.handlers import EarlyStopHandler


class EarlyStop(EarlyStopHandler):
    """MONAI's `EarlyStopHandler` with a state for checkpoints: the best score, and for how long there was no better.

    Without it a training of many short jobs would begin to wait anew in each, and never stop early.
    """

    _handler: Any  # ignite's EarlyStopping, which counts; there once the trainer is set

    def state_dict(self) -> Mapping[str, Any]:
        """What a resumed training must know."""
        return self._handler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._handler.load_state_dict(state)
