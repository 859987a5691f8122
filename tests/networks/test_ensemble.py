"""An ensemble is the mean of its networks; its weights are theirs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hybridseg.networks import Ensemble, average_weights, create_model, ensemble_weights


def networks(count: int) -> list[nn.Module]:
    return [create_model("tiny", in_channels=1, out_channels=2).eval() for _ in range(count)]


@torch.inference_mode()
def test_logits_are_the_mean_of_those_of_the_networks() -> None:
    members, x = networks(3), torch.randn(2, 1, 16, 16, 16)
    mean = torch.stack([network(x) for network in members]).mean(0)
    torch.testing.assert_close(Ensemble(members).eval()(x), mean)


@torch.inference_mode()
def test_logits_are_added_in_float32_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert Ensemble(networks(2))(torch.randn(1, 1, 16, 16, 16)).dtype == torch.float32


def test_weights_of_the_members_are_those_of_the_ensemble() -> None:
    members = networks(2)
    ensemble = Ensemble(networks(2))
    ensemble.load_state_dict(ensemble_weights([network.state_dict() for network in members]))
    for network, loaded in zip(members, ensemble.networks, strict=True):
        for name, tensor in network.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], tensor)


def test_average_of_weights_keeps_names_and_integers() -> None:
    first = {"weight": torch.tensor([1.0, 2.0]), "steps": torch.tensor(3)}
    second = {"weight": torch.tensor([3.0, 6.0]), "steps": torch.tensor(5)}
    averaged = average_weights([first, second])
    assert averaged["weight"].tolist() == [2.0, 4.0]
    assert averaged["steps"] == 3


def test_ensemble_needs_a_network() -> None:
    with pytest.raises(ValueError, match=r"networks: none: an ensemble needs at least one"):
        Ensemble([])
