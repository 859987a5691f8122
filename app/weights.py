"""Files of weights: read without running code that may hide in them, and loaded as a whole or as far as they fit."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path

import ignite.distributed as idist
import torch
from torch import Tensor, nn

from hybridseg.transforms.errors import VolumeError

NAMED = 6
"""Tensors of each kind that a message names."""

logger = logging.getLogger("hybridseg.training")


def read_weights(path: Path, device: torch.device | str = "cpu") -> Mapping[str, Tensor]:
    """The tensors of a state dict, by name.

    Args:
        path: the file.
        device: where the tensors go.

    Raises:
        VolumeError: the file is missing, or is no state dict of tensors.
    """
    if not path.is_file():
        raise VolumeError(path, "does not exist", "must be the file of the network's weights")
    try:
        weights = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # UnpicklingError, RuntimeError, EOFError and more: torch names no common kind
        raise VolumeError(path, "unreadable", "must be a state dict saved by torch.save, of tensors only") from error
    if not isinstance(weights, Mapping) or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise VolumeError(path, "not a state dict", "must hold the network's weights and nothing else")
    return weights


def load_weights(network: nn.Module, path: Path, device: torch.device) -> None:
    """Load a file of weights into the network that they were made by.

    Args:
        network: changed in place.
        path: the file.
        device: that of the network.

    Raises:
        VolumeError: the file is missing, is no state dict of tensors, or is that of another network.
    """
    weights = read_weights(path, device)
    wanted = network.state_dict()
    wrong = sorted(wanted.keys() ^ weights.keys()) or [
        name for name, tensor in wanted.items() if tensor.shape != weights[name].shape
    ]
    if wrong:
        what = f"{len(wrong)} tensors are missing, unknown or of another shape, such as {wrong[0]}"
        raise VolumeError(path, what, "must be weights of the bundle's network")
    network.load_state_dict(weights)


def load_pretrained(network: nn.Module, path: str | PathLike[str] | None) -> None:
    """Start a training from other weights: take what fits by name and shape, and log what did not.

    The first process logs; under torchrun every process takes the same.

    Args:
        network: changed in place, before an optimizer or DistributedDataParallel has it.
        path: a state dict, such as the `model.pt` of another training; None leaves the network as it is.

    Raises:
        VolumeError: the file cannot be used, or nothing in it fits.
    """
    if path is None:
        return
    weights, wanted = read_weights(Path(path)), network.state_dict()
    common = [name for name in wanted if name in weights]
    taken = {name: weights[name] for name in common if weights[name].shape == wanted[name].shape}
    if not taken:
        what = f"none of its {len(weights)} tensors has the name and shape of one of the network's {len(wanted)}"
        raise VolumeError(path, what, "must be weights of a network of this kind")
    network.load_state_dict({**wanted, **taken})
    if idist.get_rank() > 0:
        return
    shapes = {name: f"{name} {tuple(weights[name].shape)} for {tuple(wanted[name].shape)}" for name in common}
    left = {
        "of another shape": [shapes[name] for name in common if name not in taken],
        "in the file only": [name for name in weights if name not in wanted],
        "in the network only": [name for name in wanted if name not in weights],
    }
    logger.info(f"pretrained: {len(taken)} of the network's {len(wanted)} tensors taken from {path}")
    for kind, names in left.items():
        if names:
            logger.info(f"  {len(names)} {kind}: {some(names)}")


def some(names: Iterable[str]) -> str:
    """The first few of a list, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return ", ".join(listed[:NAMED]) + more
