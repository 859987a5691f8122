"""The learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Callable


def warmup_cosine(epochs: int) -> Callable[[int], float]:
    """Return a schedule for torch's LambdaLR: warm-up from 0.1 over 2% of the epochs, then a cosine down to 0.

    Args:
        epochs: number of epochs of the training.

    Returns:
        The factor of the learning rate by epoch. It is a plain function, which LambdaLR does not save in checkpoints,
        so a run that is resumed for more epochs follows the new schedule (`Checkpoints`).
    """
    warmup = max(1, epochs // 50)

    def factor(epoch: int) -> float:
        if epoch < warmup:
            return 0.1 + 0.9 * epoch / warmup
        return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (epoch - warmup) / max(1, epochs - warmup)))

    return factor
