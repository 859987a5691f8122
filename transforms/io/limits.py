"""What a volume may need in memory: a file of a few bytes can claim terabytes of voxels."""

from __future__ import annotations

from pathlib import Path

import psutil

from hybridseg.transforms.errors import PathLike, VolumeError

from .header import VolumeHeader

FLOAT32_BYTES = 4
CGROUP = Path("/sys/fs/cgroup")


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
        max_bytes: most bytes allowed; None allows the free memory.

    Raises:
        VolumeError: it needs more.
    """
    most = free_memory() if max_bytes is None else max_bytes
    if needed > most:
        limit = f"must be at most {most}, the {'free memory' if max_bytes is None else 'limit that is set'}"
        raise VolumeError(path, f"claims voxels that need {needed} bytes in memory", limit)
