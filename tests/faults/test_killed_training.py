"""A training that is killed at any moment and resumed equals one that was never interrupted, bit for bit on a CPU."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from hybridseg.app.training.run.run_folder import latest_epoch
from hybridseg.bundles import bundle_path
from hybridseg.transforms.phantoms.abdomen import write_phantoms

CONFIG = bundle_path("phantom_ct_segmentation") / "configs" / "train.json"
EPOCHS = 3


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("phantoms"), 4, seed=3)


def start(dataset: Path, run_dir: Path, workers: int, epochs: int = EPOCHS) -> subprocess.Popen[bytes]:
    """Start a training that begins anew or resumes, as a scheduler repeats a command."""
    options = {
        "dataset_dir": dataset,
        "run_dir": run_dir,
        "device": "cpu",
        "max_epochs": epochs,
        "val_interval": 1,
        "num_workers": workers,
        "patch_size": [32, 32, 32],
        "resume": "auto",
    }
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    command = [sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", "--config_file", str(CONFIG), *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors.decode()[-3000:]


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a training and its workers as a power failure does."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def values(state: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of a checkpoint with its path."""
    items = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list | tuple) else None
    if items is None:
        yield path, state
    else:
        for key, value in items:
            yield from values(value, f"{path}/{key}")


def assert_same_runs(first: Path, second: Path) -> None:
    for name in (f"checkpoint_epoch={EPOCHS}.pt", "model.pt"):
        left, right = (dict(values(torch.load(run / name, weights_only=True))) for run in (first, second))
        assert left.keys() == right.keys()
        assert [path for path, value in left.items() if not is_same(value, right[path])] == []


def is_same(first: Any, second: Any) -> bool:
    return torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second


@pytest.fixture(scope="module")
def uninterrupted(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run without workers that nothing interrupted."""
    run_dir = tmp_path_factory.mktemp("uninterrupted")
    finish(start(dataset, run_dir, workers=0))
    return run_dir


def wait_for_epoch(process: subprocess.Popen[bytes], run_dir: Path, epoch: int) -> None:
    """Wait until a training has saved an epoch or ended."""
    while process.poll() is None and latest_epoch(run_dir) < epoch:
        psutil.wait_procs([psutil.Process(process.pid)], timeout=0.02)


def test_run_killed_after_a_checkpoint_equals_the_other(dataset: Path, uninterrupted: Path, tmp_path: Path) -> None:
    process = start(dataset, tmp_path, workers=2)
    wait_for_epoch(process, tmp_path, 1)
    kill(process)
    assert latest_epoch(tmp_path) == 1
    finish(start(dataset, tmp_path, workers=2))
    assert_same_runs(uninterrupted, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_run_killed_at_five_random_moments_equals_the_other(
    dataset: Path, uninterrupted: Path, tmp_path: Path, workers: int
) -> None:
    moments = random.Random(workers)
    for _ in range(5):
        process = start(dataset, tmp_path, workers)
        if moments.random() < 0.5:  # while an epoch is trained, or a checkpoint is written
            wait_for_epoch(process, tmp_path, min(latest_epoch(tmp_path) + 1, EPOCHS - 1))
        else:
            psutil.wait_procs([psutil.Process(process.pid)], timeout=moments.uniform(4, 12))
        if process.poll() is None:
            kill(process)
        else:
            finish(process)
    if latest_epoch(tmp_path) < EPOCHS:
        finish(start(dataset, tmp_path, workers))
    assert_same_runs(uninterrupted, tmp_path)


def test_second_training_of_a_run_folder_ends_at_once(dataset: Path, tmp_path: Path) -> None:
    first = start(dataset, tmp_path, workers=0, epochs=50)
    try:
        wait_for_epoch(first, tmp_path, 1)
        second = start(dataset, tmp_path, workers=0, epochs=50)
        _, errors = second.communicate(timeout=120)
        assert second.returncode != 0
        assert f"run_dir: {tmp_path}: in use by process {first.pid} on " in errors.decode()
        assert first.poll() is None
    finally:
        kill(first)
