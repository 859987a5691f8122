"""A training keeps its best weights."""

from __future__ import annotations

import math

import torch

from hybridseg.app.training.best_model import BestModel

from .conftest import validate


def test_last_weights_are_kept_where_no_case_has_a_label(validator, tmp_path):
    network = torch.nn.Linear(1, 1)
    best = BestModel(network, tmp_path / "model.pt")
    best.attach(validator)
    for epoch in (1, 2, 3):
        torch.nn.init.constant_(network.weight, epoch)
        validate(validator, epoch, 0.0, [math.nan, math.nan])
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].item() == 3
    assert (best.score, best.epoch) == (-math.inf, 3)
    validate(validator, 4, 0.3, [math.nan, 0.3])
    assert (best.score, best.epoch) == (0.3, 4)


def test_best_weights_are_kept_not_the_last(validator, tmp_path):
    network = torch.nn.Linear(1, 1)
    best = BestModel(network, tmp_path / "model.pt")
    best.attach(validator)
    for epoch, dice in enumerate([0.5, 0.8, 0.7], start=1):
        torch.nn.init.constant_(network.weight, epoch)
        validate(validator, epoch, dice)
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].item() == 2
    assert (best.score, best.epoch) == (0.8, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_resumed_training_knows_the_best_score(validator, tmp_path):
    first = BestModel(torch.nn.Linear(1, 1), tmp_path / "model.pt")
    first.attach(validator)
    validate(validator, 7, 0.9)
    resumed = BestModel(torch.nn.Linear(1, 1), tmp_path / "model.pt")
    resumed.load_state_dict(first.state_dict())
    kept = (tmp_path / "model.pt").read_bytes()
    resumed.attach(validator)
    validate(validator, 8, 0.8)
    assert (tmp_path / "model.pt").read_bytes() == kept
    assert resumed.epoch == 7
