"""The precision of a network's computations; by default bfloat16 where it was measured to be faster than float32.

Instructions for it do not promise that: a Xeon with AVX512-BF16 but without AMX multiplies matrices of bfloat16 at half
the rate of float32.
"""

from __future__ import annotations

import functools
import json
import os
import platform
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Literal, get_args

import torch
from torch.nn import functional

from .io.atomic import replacing

PrecisionName = Literal["auto", "fp32", "bf16", "fp16"]
"""What a user can choose."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

ROUNDS = 5
"""Times that each precision is measured, in turns; the fastest counts."""
WORTHWHILE = 0.9
"""Share of float32's time below which bfloat16 is used."""


@dataclass(frozen=True)
class Precision:
    """A precision, and why it is used.

    Args:
        name: fp32, bf16 or fp16.
        chosen: what the user chose: its name, or auto.
        reason: in a few words.
    """

    name: str
    chosen: str
    reason: str

    @property
    def dtype(self) -> torch.dtype:
        """The type that most of the network is computed in."""
        return DTYPES[self.name]

    def record(self) -> dict[str, str]:
        """Return what was chosen, what is used and why, for the record of a run."""
        return {"chosen": self.chosen, "used": self.name, "reason": self.reason}

    def autocast(self, device: torch.device) -> torch.autocast:
        """Return a context in which a device computes in this precision."""
        return torch.autocast(device.type, self.dtype, enabled=self.name != "fp32")


def check_precision(name: str, device: torch.device | None = None) -> None:
    """Check the name of a precision.

    Args:
        name: one of `PrecisionName`.
        device: where it is to be used; None checks the name only.

    Raises:
        ValueError: it is none of these, or fp16 on another device than a GPU, whose kernels lack it or are slow.
    """
    if name not in get_args(PrecisionName):
        raise ValueError(f"precision: {name!r}: must be one of {', '.join(get_args(PrecisionName))}")
    if name == "fp16" and device is not None and device.type != "cuda":
        raise ValueError(f"precision: 'fp16': must be auto, fp32 or bf16 on {device.type}: fp16 needs a CUDA GPU")


def choose_precision(name: str, device: torch.device) -> Precision:
    """Return the precision of a name on a device; auto chooses bf16 or fp32.

    Raises:
        ValueError: the name is unknown, or the device cannot use it.
    """
    check_precision(name, device)
    if name != "auto":
        return Precision(name, name, "chosen")
    return Precision("bf16" if prefers_bfloat16(device) else "fp32", name, reason_on(device))


def reason_on(device: torch.device) -> str:
    """Return why auto uses bfloat16 on a device, or does not."""
    if device.type == "cuda":
        return f"the GPU has {'' if prefers_bfloat16(device) else 'no '}bfloat16"
    if not computes_bfloat16(device):
        return "no instructions for bfloat16"
    return f"bfloat16 measured at {time_ratio():.2f} of the time of float32"


@functools.cache
def prefers_bfloat16(device: torch.device) -> bool:
    """Return whether a device should compute in bfloat16.

    A GPU that has it is faster with it. A processor that has it is measured once, within a second or so; the result is
    kept in the user's cache folder, so that all later runs on the machine agree.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return computes_bfloat16(device) and time_ratio() < WORTHWHILE


def computes_bfloat16(device: torch.device) -> bool:
    """Return whether a processor has instructions for products of bfloat16 matrices."""
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):  # which older releases of torch lack
        return False
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))


@functools.cache  # asked for every batch
def time_ratio() -> float:
    """Return the time of bfloat16 relative to float32 on this processor, as measured now or before."""
    file = ratio_file()
    with suppress(OSError, ValueError, KeyError, TypeError):
        return float(json.loads(file.read_text(encoding="utf-8"))["ratio"])
    ratio = measure_ratio()
    with suppress(OSError), replacing(file) as temporary:  # a home without room is no reason to stop
        temporary.write_text(json.dumps({"ratio": ratio}), encoding="utf-8")
    return ratio


def ratio_file() -> Path:
    """Return the file that remembers the ratio, for this machine, release of torch and number of threads."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hybridseg"
    capabilities = sorted(torch.cpu.get_capabilities().items())
    machine = f"{platform.node()} {capabilities} {torch.__version__} {torch.get_num_threads()}"
    return folder / f"bfloat16-{sha256(machine.encode()).hexdigest()[:16]}.json"


def measure_ratio() -> float:
    """Measure a convolution and a matrix product as a network has them, in both precisions."""
    image = torch.ones(1, 32, 24, 24, 24).contiguous(memory_format=torch.channels_last_3d)
    kernel = torch.ones(32, 32, 3, 3, 3)
    tokens, weight = torch.ones(4096, 128), torch.ones(512, 128)

    def compute() -> None:
        functional.conv3d(image, kernel, padding=1)
        functional.linear(tokens, weight)

    single, brain = [], []
    with torch.no_grad():
        for _ in range(ROUNDS):
            single.append(seconds(compute))
            with torch.autocast("cpu", torch.bfloat16):
                brain.append(seconds(compute))
    return min(brain) / min(single)


def seconds(work: Callable[[], None]) -> float:
    """Return how long something takes."""
    start = perf_counter()
    work()
    return perf_counter() - start
