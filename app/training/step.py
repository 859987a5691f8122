"""One training step as a bundle's `train.json` defines it, to measure its cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai.bundle import ConfigParser


class Step:
    """A training step on a batch: forward pass, loss, backward pass, optimizer.

    Args:
        parser: the content of `train.json`.
    """

    def __init__(self, parser: ConfigParser) -> None:
        self.network = parser.get_parsed_content("network").train()
        self.optimizer = parser.get_parsed_content("optimizer")
        self.loss = parser.get_parsed_content("loss")
        self.inferer = parser.get_parsed_content("train::inferer")
        self.device = parser.get_parsed_content("device")

    def __call__(self, batch: Mapping[str, Any]) -> None:
        image, label = batch["image"].to(self.device), batch["label"].to(self.device)
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(self.inferer(image, self.network), label).backward()
        self.optimizer.step()
