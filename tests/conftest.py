"""What every test shares: a seed, one thread, no window, and the folder of real volumes where there is one."""

import os

# Read once, when torch, ITK and matplotlib are imported here or in a subprocess that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import random
from pathlib import Path

import numpy as np
import pytest
import torch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with slow tests first, so that at the end no worker waits long for another."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def seed() -> None:
    """Start every test from the same random state, in whatever order the tests run."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real volumes that the environment variable HYBRIDSEG_TEST_DATA names; skips where it names none."""
    folder = os.environ.get("HYBRIDSEG_TEST_DATA")
    if not folder:
        pytest.skip("needs real volumes: set HYBRIDSEG_TEST_DATA to the folder that holds Task04_Hippocampus and torso")
    return Path(folder).resolve(strict=True)
