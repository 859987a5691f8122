"""Random numbers that follow from (seed, epoch, sample), so that a resumed training equals the uninterrupted one.

The random states of persistent workers cannot be saved, so none is needed: each sample is augmented from a seed of its
own, whatever worker augments it, and each epoch draws its order and its dropout from a seed of its own. Equality is bit
for bit on a CPU with the same number of threads; kernels of a GPU that add in any order (atomics) do not promise it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import Dataset
from monai.transforms import Compose
from torch.utils.data import DistributedSampler

from hybridseg.app.runtime.options import check_at_least

SAMPLES, ORDER, NETWORK = range(3)
"""What a seed is for: each purpose has a stream of its own."""


def derive_seed(*numbers: int) -> int:
    """Derive a seed below 2**32 from whole numbers, such as a seed, a purpose, an epoch and an index."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


class SeededDataset(Dataset):
    """Samples whose random transforms are seeded by (seed, epoch, index).

    Args:
        dataset: a MONAI dataset whose `transform` is a `Compose`, such as `PreparedDataset`.
        seed: of the training.
    """

    def __init__(self, dataset: Dataset, seed: int) -> None:
        super().__init__(dataset.data, dataset.transform)
        self.dataset = dataset
        self.seed = seed

    def __getitem__(self, index: Any) -> Any:
        """Return a sample; `index` is (epoch, index), as `SeededSampler` gives it."""
        epoch, number = index
        transform = self.dataset.transform
        assert isinstance(transform, Compose)
        transform.set_random_state(derive_seed(self.seed, SAMPLES, epoch, number))
        return self.dataset[number]


class SeededSampler(DistributedSampler[Any]):
    """The indices of each epoch in an order that follows from (seed, epoch), shared evenly between processes.

    An epoch is a pass over the data, unless a number of samples is given: such epochs follow each other through one
    pass after another, so every case is still drawn equally often. MONAI's trainer sets the epoch of a
    `DistributedSampler`.

    Args:
        dataset: a `SeededDataset`.
        samples: number of samples in an epoch, of all processes together; None for one of each case.

    Raises:
        ValueError: `samples` is below 1.
    """

    def __init__(self, dataset: SeededDataset, samples: int | None = None) -> None:
        check_at_least(1, samples=samples)
        seed = derive_seed(dataset.seed, ORDER)
        super().__init__(dataset, num_replicas=idist.get_world_size(), rank=idist.get_rank(), seed=seed)
        self.samples = samples
        if samples is not None:
            self.num_samples = math.ceil(samples / self.num_replicas)

    def __iter__(self) -> Iterator[Any]:
        """Yield (epoch, index); with a given number of samples, (pass over the data, index)."""
        if self.samples is None:
            yield from ((self.epoch, index) for index in super().__iter__())
            return
        count = len(self.dataset)  # type: ignore[arg-type]
        first = self.epoch * self.num_samples * self.num_replicas + self.rank
        order: list[int] = []
        last = -1
        for sample in range(self.num_samples):
            number, place = divmod(first + sample * self.num_replicas, count)
            if number != last:
                generator = torch.Generator().manual_seed(derive_seed(self.seed, number))
                order, last = torch.randperm(count, generator=generator).tolist(), number
            yield number, order[place]


class SeedEpochs:
    """Seed PyTorch and NumPy at the start of each epoch, for dropout and stochastic depth.

    Args:
        seed: of the training.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def attach(self, trainer: Engine) -> None:
        """Attach to a trainer, as MONAI does with each handler."""
        trainer.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, trainer: Engine) -> None:
        """Seed this process for the epoch that starts."""
        seed = derive_seed(self.seed, NETWORK, trainer.state.epoch, idist.get_rank())
        torch.manual_seed(seed)
        np.random.seed(seed)
