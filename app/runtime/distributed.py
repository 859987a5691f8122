"""Processes that `torchrun` starts side by side: which part of the work each has, and one report of all."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

LONGEST_WAIT = timedelta(days=30)


def rank() -> int:
    """Which of the processes this is; 0 when it is alone."""
    return int(os.environ.get("RANK", 0))


def world_size() -> int:
    """How many processes there are."""
    return int(os.environ.get("WORLD_SIZE", 1))


def own_device(name: str) -> str:
    """`auto` becomes one of the machine's GPUs for each process, where there are GPUs."""
    import torch

    if name != "auto" or world_size() == 1 or not torch.cuda.is_available():
        return name
    return f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % torch.cuda.device_count()}"


def gather(value: Any) -> list[Any]:
    """The values of all processes, for the first one; nothing for the others. All wait until all are there."""
    if world_size() == 1:
        return [value]
    from torch import distributed

    distributed.init_process_group("gloo", timeout=LONGEST_WAIT)
    values = [None] * world_size() if rank() == 0 else None
    distributed.gather_object(value, values)
    distributed.barrier()
    distributed.destroy_process_group()
    return values or []
