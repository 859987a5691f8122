"""Keep freed memory for the next step of a training.

By default glibc gets large blocks from the system and returns them at once, so that every step pays the page faults of
its large tensors again. With higher thresholds it keeps them.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of `malloc.h`."""
LARGEST_KEPT = 2**30
"""Bytes of a block that is kept: larger than any tensor of a step, but not than a batch of whole volumes."""


def keep_freed_memory() -> bool:
    """Make glibc keep the memory of freed blocks, for the rest of this process.

    Returns:
        Whether it was done: only with glibc, on Linux.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # such as musl
        return False
    return all(mallopt(option, LARGEST_KEPT) == 1 for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD))
