"""What the machine and the installation are, for records of a run."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
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
