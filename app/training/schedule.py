"""The learning-rate schedule of a training."""

from __future__ import annotations

import math
from collections.abc import Callable


def warmup_cosine(epochs: int) -> Callable[[int], float]:
    """A factor for the learning rate: up from a tenth over the first fiftieth of the epochs, down to 0 along a cosine.

    A plain function, which torch's LambdaLR leaves out of checkpoints: a run that is resumed for longer follows the new
    schedule (`Checkpoints`).
    """
    warmup = max(1, epochs // 50)

    def factor(epoch: int) -> float:
        if epoch < warmup:
            return 0.1 + 0.9 * epoch / warmup
        return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (epoch - warmup) / max(1, epochs - warmup)))

    return factor
