"""What a volume may need in memory: a file of a few bytes can claim terabytes of voxels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from hybridseg.transforms.errors import PathLike, VolumeError

from .header import VolumeHeader

FLOAT32_BYTES = 4
CGROUP = Path("/sys/fs/cgroup")
OPTION = "--max-memory"
"""Option of the commands that limit memory by `limit_memory`."""

_limits: list[int | None] = []
"""Limits of the commands that run, the last one in force; None for the free memory."""


@contextmanager
def limit_memory(most: int | None) -> Iterator[None]:
    """Let a case need at most `most` bytes in this process while the block runs; None for what is free."""
    _limits.append(most)
    try:
        yield
    finally:
        _limits.pop()


def most_memory() -> int:
    """Return the bytes that a case may need: the limit that is set, or what is free."""
    limit = _limits[-1] if _limits else None
    return free_memory() if limit is None else limit


def limit_rule(amount: str, *, is_set: bool = False) -> str:
    """Return the rule for a case that needs more than `amount`; `is_set` if the caller set it."""
    limit = "the limit that is set" if is_set or (_limits and _limits[-1] is not None) else "the free memory"
    return f"must be at most {amount}, {limit}" + (f" ({OPTION} sets another)" if _limits else "")


def free_memory() -> int:
    """Return the bytes of memory that are free on this machine, or in its container if that has fewer."""
    free = psutil.virtual_memory().available
    try:  # cgroup v2; page cache counts as used there, and is given back when memory runs short
        most, used = (int((CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        lines = (CGROUP / "memory.stat").read_text().splitlines()
        cached = sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    except (OSError, ValueError):  # no cgroup, or "max": no limit
        return free
    return max(0, min(free, most - used + cached))


def loading_bytes(header: VolumeHeader) -> int:
    """Return the bytes that loading a volume needs: its voxels as stored, and as float32."""
    voxels = 1
    for size in header.shape:
        voxels *= size
    return header.voxel_bytes + voxels * FLOAT32_BYTES


def check_memory(path: PathLike, needed: int, max_bytes: int | None = None) -> None:
    """Check that what a file claims may be read.

    Args:
        path: the file, for the error.
        needed: bytes that reading it would need in memory, by its claim.
        max_bytes: most bytes allowed; None allows what `limit_memory` has set, or the free memory.

    Raises:
        VolumeError: it needs more.
    """
    most = most_memory() if max_bytes is None else max_bytes
    if needed > most:
        rule = limit_rule(str(most), is_set=max_bytes is not None)
        raise VolumeError(path, f"claims voxels that need {needed} bytes in memory", rule)
