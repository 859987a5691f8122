"""Parallel processes under `torchrun`: their ranks and devices, and gathering of their results."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

LONGEST_WAIT = timedelta(days=30)


def rank() -> int:
    """Return the rank of this process; 0 if it is the only one.

    Raises:
        ValueError: `RANK` or `WORLD_SIZE` is not as torchrun sets it.
    """
    size = world_size()
    return read_number("RANK", 0, 0, size - 1) if size > 1 else 0  # RANK alone may be left from another program


def world_size() -> int:
    """Return the number of processes.

    Raises:
        ValueError: `WORLD_SIZE` is not as torchrun sets it.
    """
    return read_number("WORLD_SIZE", 1, 1, None)


def read_number(name: str, default: int, least: int, most: int | None) -> int:
    """Return a number from an environment variable."""
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
        bounds = f"at least {least}" if most is None else f"{least} to {most}"
        raise ValueError(f"{name}: {text!r}: must be a number, {bounds}, as torchrun sets it; or unset")
    return int(text)


def own_device(name: str) -> str:
    """Replace `auto` by a GPU of its own for each of several processes, if there are GPUs."""
    import torch

    if name != "auto" or world_size() == 1 or not torch.cuda.is_available():
        return name
    return f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % torch.cuda.device_count()}"


def gather(value: Any) -> list[Any]:
    """Gather a value of every process: a list in the first process, an empty one in the others.

    Every process waits until all have arrived.
    """
    if world_size() == 1:
        return [value]
    from torch import distributed

    distributed.init_process_group("gloo", timeout=LONGEST_WAIT)
    values = [None] * world_size() if rank() == 0 else None
    distributed.gather_object(value, values)
    distributed.barrier()
    distributed.destroy_process_group()
    return values or []
