"""Start a training from other weights, and log which tensors were loaded."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import ignite.distributed as idist
from torch import nn

from hybridseg.networks.weights import load_matching
from hybridseg.transforms.errors import PathLike

NAMED = 6
"""Tensors of each kind that the log names."""

logger = logging.getLogger("hybridseg.training")


def load_pretrained(network: nn.Module, path: PathLike | None) -> None:
    """Load the weights that match the network by name and shape, and log which do not.

    Under torchrun every process loads them, and the first one logs.

    Args:
        network: changed in place, before an optimizer or DistributedDataParallel gets it.
        path: a state dict, such as the `model.pt` of another training; None leaves the network as it is.

    Raises:
        WeightsError: the file cannot be used, or none of its tensors matches.
    """
    if path is None:
        return
    loaded = load_matching(network, Path(path))
    if idist.get_rank() > 0:
        return
    logger.info(
        f"pretrained: {len(loaded.taken)} of the network's {len(network.state_dict())} tensors loaded from {path}"
    )
    skipped = {
        "of another shape": loaded.other_shape,
        "in the file only": loaded.file_only,
        "in the network only": loaded.network_only,
    }
    for kind, names in skipped.items():
        if names:
            logger.info(f"  {len(names)} {kind}: {shorten(names)}")


def shorten(names: Sequence[str]) -> str:
    """Join the first few names of a list, and say how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
