"""Weights files are read as tensors only; all weights or those that match are loaded, otherwise one line says why."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hybridseg.networks import WeightsError, load_matching, load_weights, read_weights

CPU = torch.device("cpu")


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))


def test_saved_weights_are_loaded(network, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(network.state_dict(), path)
    other = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    load_weights(other, path, CPU)
    for name, tensor in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_code_in_a_file_of_weights_does_not_run(tmp_path):
    torch.save({"weight": Touch(tmp_path / "ran")}, tmp_path / "model.pt")
    with pytest.raises(WeightsError, match=r"unreadable: must be a state dict saved by torch\.save, of tensors only"):
        read_weights(tmp_path / "model.pt")
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "model.pt", weights_only=False)
    assert (tmp_path / "ran").exists()  # what would have happened


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist: must be the file of the network's weights"),
        (nn.Linear(2, 3), "unreadable: must be a state dict saved by torch.save, of tensors only"),
        ([1, 2], "not a state dict: must hold the network's weights and nothing else"),
        ({"epoch": 3}, "not a state dict: must hold the network's weights and nothing else"),
    ],
    ids=["missing", "module", "list", "number"],
)
def test_other_files_raise(content, message, tmp_path):
    path = tmp_path / "model.pt"
    if content is not None:
        torch.save(content, path)
    with pytest.raises(WeightsError, match=re.escape(f"{path}: {message}")):
        read_weights(path)


@pytest.mark.parametrize("other", [nn.Linear(2, 3), nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))])
def test_weights_of_another_network_raise(network, other, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(other.state_dict(), path)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(WeightsError, match="tensors are missing, unknown or of another shape, such as"):
        load_weights(network, path, CPU)
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in before.items())


def test_matching_weights_are_loaded_and_the_rest_is_reported(network, tmp_path):
    path = tmp_path / "model.pt"
    other = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4, bias=False), nn.LayerNorm(4))
    torch.save(other.state_dict(), path)
    loaded = load_matching(network, path)
    assert loaded.taken == ["0.weight", "0.bias"]
    assert loaded.other_shape == ["1.weight (4, 3) for (2, 3)"]
    assert loaded.file_only == ["2.weight", "2.bias"]
    assert loaded.network_only == ["1.bias"]
    assert torch.equal(network.state_dict()["0.weight"], other.state_dict()["0.weight"])


def test_weights_without_any_match_raise(network, tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"other": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="none of its 1 tensors has the name and shape of one of the network's 4"):
        load_matching(network, path)
