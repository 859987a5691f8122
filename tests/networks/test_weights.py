"""Weights files are read as tensors only; all weights or those that match are loaded, otherwise one line says why."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

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


@pytest.mark.parametrize("others", [{}, {"optimizer": {"state": {}}, "epoch": 3}])
def test_weights_in_a_checkpoint_are_read(network, others, tmp_path):
    torch.save({"model": network.state_dict(), **others}, tmp_path / "model.pt")
    weights = read_weights(tmp_path / "model.pt")
    assert all(torch.equal(weights[name], tensor) for name, tensor in network.state_dict().items())


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


def test_a_flipped_bit_in_weights_is_an_error(network, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(network.state_dict(), path)
    content = bytearray(path.read_bytes())
    content[content.index(network[0].weight.detach().numpy().tobytes()) + 2] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)  # sees nothing
    with pytest.raises(WeightsError, match=r"model\.pt: damaged in .*/data/0: must have the content that was saved"):
        read_weights(path)


def test_compressed_weights_are_an_error(tmp_path):
    torch.save({"weight": torch.zeros(1_000_000)}, tmp_path / "saved.pt")
    path = tmp_path / "model.pt"
    with ZipFile(tmp_path / "saved.pt") as saved, ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name in saved.namelist():
            archive.writestr(name, saved.read(name))
    with pytest.raises(WeightsError, match=r"model\.pt: compressed: must be as torch\.save writes it"):
        read_weights(path)


def test_weights_in_the_format_before_torch_1_6_are_read(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "model.pt", _use_new_zipfile_serialization=False)
    assert read_weights(tmp_path / "model.pt").keys() == network.state_dict().keys()


@pytest.mark.parametrize(
    ("other", "differences"),
    [
        (
            nn.Linear(2, 3),
            "6 tensors differ: 0.weight is missing, 0.bias is missing, 1.weight is missing and 3 more",
        ),
        (
            nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4)),
            "2 tensors differ: 1.weight has shape (4, 3) instead of (2, 3), 1.bias has shape (4,) instead of (2,)",
        ),
        (nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2, bias=False)), "1 tensor differs: 1.bias is missing"),
    ],
)
def test_weights_of_another_network_raise(network, other, differences, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(other.state_dict(), path)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    rule = "must be the weights of this network"
    with pytest.raises(WeightsError, match=re.escape(f"{path}: {differences}: {rule}")):
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


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
@pytest.mark.parametrize("load", [lambda network, path: load_weights(network, path, CPU), load_matching])
def test_weights_that_are_not_finite_raise(network, load, value, tmp_path):
    path = tmp_path / "model.pt"
    torch.save({**network.state_dict(), "1.bias": torch.tensor([0, value])}, path)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(WeightsError, match=re.escape(f"{path}: NaN or infinity in 1.bias: must be the weights of a")):
        load(network, path)
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in before.items())


def test_weights_without_any_match_raise(network, tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"other": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="none of its 1 tensors has the name and shape of one of the network's 4"):
        load_matching(network, path)
