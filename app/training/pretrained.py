"""Start a training from other weights, and log what was taken."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import ignite.distributed as idist
from torch import nn

from hybridseg.networks.weights import load_matching
from hybridseg.transforms.errors import PathLike

NAMED = 6
"""Tensors of each kind that a message names."""

logger = logging.getLogger("hybridseg.training")


def load_pretrained(network: nn.Module, path: PathLike | None) -> None:
    """Start from other weights: take what fits by name and shape, and log what did not.

    The first process logs; under torchrun every process takes the same.

    Args:
        network: changed in place, before an optimizer or DistributedDataParallel has it.
        path: a state dict, such as the `model.pt` of another training; None leaves the network as it is.

    Raises:
        WeightsError: the file cannot be used, or nothing in it fits.
    """
    if path is None:
        return
    loaded = load_matching(network, Path(path))
    if idist.get_rank() > 0:
        return
    logger.info(
        f"pretrained: {len(loaded.taken)} of the network's {len(network.state_dict())} tensors taken from {path}"
    )
    left = {
        "of another shape": loaded.other_shape,
        "in the file only": loaded.file_only,
        "in the network only": loaded.network_only,
    }
    for kind, names in left.items():
        if names:
            logger.info(f"  {len(names)} {kind}: {shorten(names)}")


def shorten(names: Sequence[str]) -> str:
    """The first few of a list, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
