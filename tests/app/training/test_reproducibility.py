"""Samples and epochs draw the same random numbers whenever and wherever they are drawn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ignite.engine import Engine
from monai.data import DataLoader, Dataset
from monai.transforms import Compose, RandGaussianNoised

from hybridseg.app.training import SeededDataset, SeededSampler, SeedEpochs

CASES = 6


def make_loader(workers: int, seed: int = 3, samples_per_epoch: int | None = None) -> DataLoader:
    data = [{"image": torch.zeros(1, 2, 2, 2), "case": index} for index in range(CASES)]
    samples = SeededDataset(Dataset(data, Compose([RandGaussianNoised("image", prob=1.0)])), seed)
    sampler = SeededSampler(samples, samples_per_epoch)
    return DataLoader(samples, sampler=sampler, batch_size=2, num_workers=workers, persistent_workers=workers > 0)


def draw(loader: DataLoader, epoch: int) -> list[tuple[int, list[float]]]:
    """Draw an epoch: the cases in their order, each with its noise."""
    sampler: Any = loader.sampler
    sampler.set_epoch(epoch)
    return [
        (int(case), image.flatten().tolist())
        for batch in loader
        for case, image in zip(batch["case"], batch["image"], strict=True)
    ]


@pytest.mark.parametrize("workers", [0, 2])
def test_epoch_is_the_same_whatever_was_drawn_before(workers: int) -> None:
    uninterrupted, resumed = make_loader(0), make_loader(workers)
    before, expected = draw(uninterrupted, 1), draw(uninterrupted, 2)
    assert draw(resumed, 2) == expected
    assert before != expected


def test_epoch_has_every_case_once_and_seeds_differ() -> None:
    cases = [case for case, _ in draw(make_loader(0), 1)]
    assert sorted(cases) == list(range(CASES))
    assert draw(make_loader(0, seed=4), 1) != draw(make_loader(0), 1)


@pytest.mark.parametrize("samples", [None, 4])
def test_processes_share_an_epoch(samples: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 2)
    drawn = []
    for rank in (0, 1):
        monkeypatch.setattr("ignite.distributed.get_rank", lambda rank=rank: rank)
        drawn += draw(make_loader(0, samples_per_epoch=samples), 1)
    assert sorted(drawn) == sorted(draw_alone(1, samples))


def draw_alone(epoch: int, samples: int | None) -> list[tuple[int, list[float]]]:
    """Draw an epoch in one process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ignite.distributed.get_world_size", lambda: 1)
        patch.setattr("ignite.distributed.get_rank", lambda: 0)
        return draw(make_loader(0, samples_per_epoch=samples), epoch)


def test_epochs_of_a_given_length_draw_every_case_equally_often() -> None:
    loader = make_loader(0, samples_per_epoch=4)
    epochs = [draw(loader, epoch) for epoch in range(3)]
    assert len(loader) == 2
    assert sorted(case for epoch in epochs for case, _ in epoch) == sorted(2 * list(range(CASES)))
    assert draw(make_loader(2, samples_per_epoch=4), 2) == epochs[2]


def test_case_drawn_twice_in_an_epoch_is_augmented_differently() -> None:
    noise = [image for case, image in draw(make_loader(0, samples_per_epoch=2 * CASES), 1) if case == 0]
    assert len(noise) == 2
    assert noise[0] != noise[1]


def test_epoch_without_samples_is_an_error() -> None:
    with pytest.raises(ValueError, match="samples: 0: must be at least 1"):
        make_loader(0, samples_per_epoch=0)


def test_dropout_of_an_epoch_does_not_depend_on_earlier_epochs() -> None:
    def run(first: int) -> list[float]:
        numbers: list[float] = []
        trainer = Engine(lambda engine, batch: numbers.append(torch.rand(1).item()))
        SeedEpochs(5).attach(trainer)
        trainer.load_state_dict({"epoch": first, "max_epochs": 3, "epoch_length": 2}) if first else None
        trainer.run([0, 1], max_epochs=3)
        return numbers

    assert run(1) == run(0)[2:]
