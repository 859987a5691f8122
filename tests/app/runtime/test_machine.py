"""Devices are chosen by name, and memory is measured."""

from __future__ import annotations

import gc
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from hybridseg.app.runtime.machine import choose_device, device_name, peak_memory, peak_memory_bytes, resident_memory

CPU = torch.device("cpu")
FLOATS = 50_000_000


def test_auto_takes_a_gpu_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "cuda", SimpleNamespace(is_available=lambda: True, device_count=lambda: 2))
    assert choose_device("auto") == torch.device("cuda")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match=r"device: 'cuda:2': PyTorch .* finds 2 CUDA devices: must be"):
        choose_device("cuda:2")


def test_auto_takes_the_cpu_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "cuda", SimpleNamespace(is_available=lambda: False, device_count=lambda: 0))
    assert choose_device("auto") == choose_device("cpu") == CPU


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "cpu:x"])
def test_unknown_device_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=f"device: '{name}': must be auto, cpu, cuda or cuda:N"):
        choose_device(name)


def test_processor_has_a_name() -> None:
    assert device_name(CPU).strip()


def test_peak_is_seen_though_memory_was_freed() -> None:
    gc.collect()  # what is freed within the block would hide as much of it
    with peak_memory(CPU) as peak:
        block = torch.ones(FLOATS)
        for _ in range(1000):  # work until the sampling thread has looked
            if peak[0] > 3.6 * FLOATS:
                break
            block.add_(1)
        del block
    assert 3.6 * FLOATS < peak[0] < 8 * FLOATS


def test_peak_of_the_process_is_at_least_what_it_holds() -> None:
    block = torch.ones(FLOATS)
    held = resident_memory()
    assert held > 4 * FLOATS
    del block
    assert peak_memory_bytes(CPU) > 0.99 * held  # the kernel counts in steps


def test_child_does_not_inherit_the_peak_of_its_parent() -> None:
    block = torch.ones(FLOATS)
    program = "from hybridseg.app.runtime.machine import peak_resident_memory; print(peak_resident_memory())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 1e6 < int(done.stdout) < 4 * block.numel()
