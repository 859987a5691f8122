"""Files of weights: read as tensors only, so that no code in them runs, and loaded whole or as far as they fit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn


class WeightsError(ValueError):
    """A file of weights that cannot be used; the message is `<path>: <value>: <rule>`.

    Args:
        path: the file.
        value: what was found there.
        rule: what should be there instead.
    """

    def __init__(self, path: str | os.PathLike[str], value: str, rule: str) -> None:
        super().__init__(f"{os.fspath(path)}: {value}: {rule}")


@dataclass(frozen=True)
class LoadedWeights:
    """Which tensors a network took from a file.

    Attributes:
        taken: names of the tensors taken.
        other_shape: names and the two shapes of tensors that differ in shape.
        file_only: names that only the file has.
        network_only: names that only the network has.
    """

    taken: list[str]
    other_shape: list[str]
    file_only: list[str]
    network_only: list[str]


def read_weights(path: Path, device: torch.device | str = "cpu") -> Mapping[str, Tensor]:
    """The tensors of a state dict, by name.

    Args:
        path: the file.
        device: where the tensors go.

    Raises:
        WeightsError: the file is missing, or is no state dict of tensors.
    """
    if not path.is_file():
        raise WeightsError(path, "does not exist", "must be the file of the network's weights")
    try:
        weights = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # UnpicklingError, RuntimeError, EOFError and more: torch names no common kind
        raise WeightsError(path, "unreadable", "must be a state dict saved by torch.save, of tensors only") from error
    if not isinstance(weights, Mapping) or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise WeightsError(path, "not a state dict", "must hold the network's weights and nothing else")
    return weights


def load_weights(network: nn.Module, path: Path, device: torch.device) -> None:
    """Load all weights of a network from a file that the same network was saved to.

    Args:
        network: changed in place.
        path: the file.
        device: that of the network.

    Raises:
        WeightsError: the file is missing, is no state dict of tensors, or is that of another network.
    """
    weights = read_weights(path, device)
    wanted = network.state_dict()
    wrong = sorted(wanted.keys() ^ weights.keys()) or [
        name for name, tensor in wanted.items() if tensor.shape != weights[name].shape
    ]
    if wrong:
        what = f"{len(wrong)} tensors are missing, unknown or of another shape, such as {wrong[0]}"
        raise WeightsError(path, what, "must be weights of the bundle's network")
    check_finite(path, weights)
    network.load_state_dict(weights)


def load_matching(network: nn.Module, path: Path) -> LoadedWeights:
    """Load the weights that fit a network by name and shape, such as those of a network with another head.

    Args:
        network: changed in place.
        path: a state dict.

    Raises:
        WeightsError: the file cannot be read, or none of its tensors fits.
    """
    weights, wanted = read_weights(path), network.state_dict()
    common = [name for name in wanted if name in weights]
    taken = {name: weights[name] for name in common if weights[name].shape == wanted[name].shape}
    if not taken:
        what = f"none of its {len(weights)} tensors has the name and shape of one of the network's {len(wanted)}"
        raise WeightsError(path, what, "must be weights of a network of this kind")
    check_finite(path, taken)
    network.load_state_dict({**wanted, **taken})
    return LoadedWeights(
        taken=list(taken),
        other_shape=[
            f"{name} {tuple(weights[name].shape)} for {tuple(wanted[name].shape)}"
            for name in common
            if name not in taken
        ],
        file_only=[name for name in weights if name not in wanted],
        network_only=[name for name in wanted if name not in weights],
    )


def check_finite(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Check that all values of weights are finite.

    Raises:
        WeightsError: a tensor has NaN or infinity.
    """
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(path, f"NaN or infinity in {name}", "must be the weights of a training that converged")
