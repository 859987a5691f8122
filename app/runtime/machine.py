"""What the machine and the installation are, for records of a run."""

from __future__ import annotations

import os
import platform
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PACKAGES = ("hybridseg", "monai", "torch", "numpy", "nibabel", "SimpleITK")


def versions() -> Mapping[str, str]:
    """Of Python and the packages that have a part in a result."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def peak_memory_bytes(device: torch.device) -> int:
    """Most memory that this process has held: of the GPU if it computes there, otherwise resident in memory."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    try:  # the kernel's figure for this program; getrusage also knows that of the one which started it
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
    except (OSError, StopIteration):
        import resource

        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest if sys.platform == "darwin" else largest * 1024


def device_name(device: torch.device) -> str:
    """What the processor or GPU calls itself."""
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    return processor_name()


def processor_name() -> str:
    """What the processor calls itself (Linux), or its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


SAMPLING_SECONDS = 0.002


@contextmanager
def peak_memory(device: torch.device) -> Iterator[list[int]]:
    """Give a list whose only entry is, at the end, the most memory held within, beyond that at the beginning."""
    peak = [0]
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield peak
        peak[0] = torch.cuda.max_memory_allocated(device) - before
        return
    before, ended = resident_memory(), threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLING_SECONDS):
            peak[0] = max(peak[0], resident_memory() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def resident_memory() -> int:
    """Bytes of this process in memory (Linux)."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
