"""Several networks as one: the mean of their logits, as nnU-Net ensembles its folds (Isensee et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn


class Ensemble(nn.Module):
    """The mean of the logits of several networks.

    A state dict holds the weights of all: `networks.0.…`, `networks.1.…` and so on, so the bundle of a cross-validation
    has one file of weights.

    Args:
        networks: networks that take the same input and predict the same channels, each with its own weights.

    Raises:
        ValueError: no networks.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        if not networks:
            raise ValueError("networks: none: an ensemble needs at least one")
        self.networks = nn.ModuleList(networks)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean logits (B, K, D, H, W) of images (B, C, D, H, W); added in float32, also under autocast."""
        total = self.networks[0](x).float()
        for network in self.networks[1:]:
            total = total + network(x).float()
        return total / len(self.networks)


def ensemble_weights(members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the state dict of an `Ensemble` from those of its members."""
    return {
        f"networks.{index}.{name}": tensor for index, weights in enumerate(members) for name, tensor in weights.items()
    }


def average_weights(members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of several state dicts of one network, a model soup (Wortsman et al. 2022).

    Networks trained from different starts are not connected by a path of low loss, so their mean is often useless;
    measure before use. Integers, such as counters, are those of the first member.
    """
    first = members[0]
    return {
        name: sum((weights[name] for weights in members[1:]), tensor) / len(members)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in first.items()
    }
