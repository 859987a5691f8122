"""Load weights from files: tensors only, so that no code in a file runs; all of them, or those that match."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile, is_zipfile

import torch
from torch import Tensor, nn

CHECKPOINT_KEY = "model"
"""Key of the network's weights in MONAI's checkpoints, beside those of the optimizer."""

MOST_NAMED = 3
"""Most differences that an error lists."""


class WeightsError(ValueError):
    """A weights file cannot be used; the message is `<path>: <value>: <rule>`.

    Args:
        path: the file.
        value: what was found.
        rule: what the file must be.
    """

    def __init__(self, path: str | os.PathLike[str], value: str, rule: str) -> None:
        super().__init__(f"{os.fspath(path)}: {value}: {rule}")


@dataclass(frozen=True)
class LoadedWeights:
    """Which tensors were loaded from a file into a network.

    Attributes:
        taken: names of the loaded tensors.
        other_shape: names and both shapes of tensors that differ in shape.
        file_only: names in the file only.
        network_only: names in the network only.
    """

    taken: list[str]
    other_shape: list[str]
    file_only: list[str]
    network_only: list[str]


def read_tensors(path: Path, device: torch.device | str = "cpu") -> Any:
    """Read what `torch.save` wrote, tensors only, and compare it with its check sums, which `torch.load` ignores.

    Args:
        path: the file.
        device: device of the tensors.

    Raises:
        WeightsError: the content is not what was written, or is compressed, so that it may claim any size.
        Exception: of many kinds, if it cannot be read: torch names no common one.
    """
    if is_zipfile(path):  # all but the format that torch used before version 1.6
        with ZipFile(path) as archive:
            if any(member.compress_type != ZIP_STORED for member in archive.infolist()):
                raise WeightsError(path, "compressed", "must be as torch.save writes it")
            if damaged := archive.testzip():
                raise WeightsError(path, f"damaged in {damaged}", "must have the content that was saved")
    return torch.load(path, map_location=device, weights_only=True)


def read_weights(path: Path, device: torch.device | str = "cpu") -> Mapping[str, Tensor]:
    """Read a state dict, or that under `model` in a checkpoint, as `monai.bundle run` does.

    Args:
        path: the file.
        device: device of the tensors.

    Raises:
        WeightsError: the file is missing or damaged, or is not a state dict of tensors.
    """
    if not path.is_file():
        raise WeightsError(path, "does not exist", "must be the file of the network's weights")
    try:
        weights = read_tensors(path, device)
    except WeightsError:
        raise
    except Exception as error:  # UnpicklingError, RuntimeError, EOFError and more: torch names no common kind
        raise WeightsError(path, "unreadable", "must be a state dict saved by torch.save, of tensors only") from error
    if isinstance(weights, Mapping) and isinstance(weights.get(CHECKPOINT_KEY), Mapping):
        weights = weights[CHECKPOINT_KEY]
    if not isinstance(weights, Mapping) or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise WeightsError(path, "not a state dict", "must hold the network's weights and nothing else")
    return weights


def load_weights(network: nn.Module, path: Path, device: torch.device) -> None:
    """Load all weights of a network from a file saved from the same network.

    Args:
        network: changed in place.
        path: the file.
        device: device of the network.

    Raises:
        WeightsError: the file is missing, is not a state dict of tensors, or belongs to another network.
    """
    weights = read_weights(path, device)
    check_same_network(path, network.state_dict(), weights)
    check_finite(path, weights)
    network.load_state_dict(weights)


def check_same_network(path: Path, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Check that tensors of a file have the names and shapes of a network's.

    Args:
        path: the file.
        wanted: state dict of the network.
        found: what the file holds in its place.

    Raises:
        WeightsError: they differ; the message names the first few tensors that do.
    """
    differences = [f"{name} is missing" for name in wanted if name not in found]
    differences += [f"{name} is unknown" for name in found if name not in wanted]
    for name in (name for name in wanted if name in found):
        if (shape := shape_of(found[name])) != (own := shape_of(wanted[name])):
            differences.append(f"{name} has shape {shape} instead of {own}")
    if differences:
        count = len(differences)
        more = f" and {count - MOST_NAMED} more" if count > MOST_NAMED else ""
        what = f"{count} tensor{'s differ' if count > 1 else ' differs'}: {', '.join(differences[:MOST_NAMED])}{more}"
        raise WeightsError(path, what, "must be the weights of this network")


def shape_of(value: Any) -> tuple[int, ...] | None:
    """Return the shape of a tensor; None for what is no tensor."""
    return tuple(value.shape) if isinstance(value, Tensor) else None


def load_matching(network: nn.Module, path: Path) -> LoadedWeights:
    """Load the tensors that match a network's by name and shape, such as those of a network with another head.

    Args:
        network: changed in place.
        path: the file.

    Raises:
        WeightsError: the file cannot be read, or no tensor matches.
    """
    weights, wanted = read_weights(path), network.state_dict()
    common = [name for name in wanted if name in weights]
    taken = {name: weights[name] for name in common if weights[name].shape == wanted[name].shape}
    if not taken:
        what = f"none of its {len(weights)} tensors has the name and shape of one of the network's {len(wanted)}"
        raise WeightsError(path, what, "must be weights of a similar network")
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
