"""The machine and the installation: devices, memory, and the versions that a run's record names.

torch is imported only when a function needs it, so that commands can import this module and still answer at once.
"""

from __future__ import annotations

import platform
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    import torch

PACKAGES = ("hybridseg", "monai", "torch", "numpy", "nibabel", "SimpleITK")
SAMPLING_SECONDS = 0.002


def choose_device(name: str) -> torch.device:
    """Return the device of a name: `auto`, `cpu`, `cuda` or `cuda:N`; `auto` takes a GPU if there is one.

    Raises:
        ValueError: the name is none of these, or there is no such GPU.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or not (index.isdecimal() or name in ("cpu", "cuda")):
        raise ValueError(f"device: {name!r}: must be auto, cpu, cuda or cuda:N")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        found = f"PyTorch {torch.__version__} finds {torch.cuda.device_count()} CUDA devices"
        raise ValueError(f"device: {name!r}: {found}: must be one of them, or cpu")
    return torch.device(name)


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has finished its work; a CPU works synchronously."""
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)


def device_name(device: torch.device) -> str:
    """Return the model name of a GPU or of the processor."""
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    return processor_name()


def processor_name() -> str:
    """Return the model name of the processor (Linux), or its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def versions() -> Mapping[str, str]:
    """Return the versions of Python and of the packages that can change a result."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):  # HybridSeg in a packed bundle is not installed
            found[name] = version(name)
    return found


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return the properties of the machine that can change a result or its time, for the record of a run."""
    import torch

    return {"device": device_name(device), "processor": processor_name(), "threads": torch.get_num_threads()}


def resident_memory() -> int:
    """Return the bytes of memory that this process holds now."""
    return psutil.Process().memory_info().rss


def peak_memory_bytes(device: torch.device) -> int:
    """Return the most bytes that this process has held so far, on the GPU if `device` is one."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    return peak_resident_memory()


def peak_resident_memory() -> int:
    """Return the most bytes of memory that this process has held so far.

    psutil knows it on Windows only. On Linux, getrusage would not do: its figure survives `exec`, so a child process
    would inherit the peak of the process that started it.
    """
    if (peak := getattr(psutil.Process().memory_info(), "peak_wset", None)) is not None:
        return peak
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
    except (OSError, StopIteration):
        import resource

        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest if sys.platform == "darwin" else largest * 1024


@contextmanager
def peak_memory(device: torch.device) -> Iterator[list[int]]:
    """Measure the most memory held inside a `with` block, beyond what was held before it.

    Yields:
        A list of one number, the bytes; it is valid after the block. In main memory it is sampled in the background.
    """
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
