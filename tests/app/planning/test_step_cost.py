"""The cost of a training step is measured on real steps; lack of memory differs from other errors."""

from __future__ import annotations

import signal
import subprocess
from typing import Any

import pytest

from hybridseg.app.bundling.writer import configure
from hybridseg.app.planning.step_cost import measure_step
from hybridseg.networks import create_model

SETTINGS = {
    "preset": "tiny",
    "modality": "MRI",
    "channels": 1,
    "label_names": {1: "one"},
    "batch_size": 1,
    "patches": 1,
    "patch_size": [16, 16, 16],
    "device": "$torch.device('cpu')",
}


def measure(**settings: Any) -> Any:
    return measure_step(configure("train.json", SETTINGS | settings), channels=1, label_channels=1)


def test_memory_counts_gradients_optimizer_and_patch_size() -> None:
    small, large = measure(), measure(patch_size=[48, 48, 48])
    weights = 4 * sum(part.numel() for part in create_model("tiny", in_channels=1, out_channels=2).parameters())
    assert 3 * weights < small.bytes < large.bytes


@pytest.mark.parametrize(
    ("code", "stderr"),
    [
        (-signal.SIGKILL, ""),
        (-signal.SIGABRT, "terminate called after throwing an instance of 'std::bad_alloc'"),
        (1, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."),
        (1, "RuntimeError: CUDA error: out of memory\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1"),
        (1, "RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."),
        (1, "MemoryError"),
    ],
)
def test_step_without_memory_has_no_cost(code: int, stderr: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.CompletedProcess([], code, stdout="", stderr=stderr)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: ended)
    assert measure() is None


@pytest.mark.parametrize(
    ("code", "stderr", "message"),
    [(1, "Traceback\nKeyError: 'x'", "failed: KeyError: 'x'"), (-signal.SIGILL, "", "failed: exit code -4")],
)
def test_step_that_fails_otherwise_is_an_error(
    code: int, stderr: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = subprocess.CompletedProcess([], code, stdout="", stderr=stderr)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: ended)
    with pytest.raises(RuntimeError, match=message):
        measure()
