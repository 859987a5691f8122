"""The number of CPU threads that a command and the processes that it starts compute with."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from .options import check_at_least

OPENMP = "OMP_NUM_THREADS"
VARIABLES = (OPENMP, "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
"""Environment variables that PyTorch (for which MKL's goes before OpenMP's) and ITK read when they are imported."""
MOST = 1024
"""Threads that OpenMP can start on any machine."""
QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of CPU time that a Linux container may use, and in how many microseconds; or `max`."""

_shares: ContextVar[bool] = ContextVar("shares", default=False)
"""Whether `OMP_NUM_THREADS` was set by an enclosing block of `use_threads` that nobody gave a number."""


def available_processors() -> int:
    """Return the number of processors that this process may use: a container's quota may be below what it sees."""
    affinity = getattr(os, "sched_getaffinity", None)
    found = len(affinity(0)) if affinity else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        used, period = QUOTA.read_text(encoding="ascii").split()
        found = min(found, max(1, int(used) // int(period)))
    return found


def thread_environment(threads: int) -> dict[str, str]:
    """Return the environment variables with which a started process computes with a number of threads."""
    return dict.fromkeys(VARIABLES, str(threads))


@contextmanager
def use_threads(threads: int | None = None, *, processes: int = 1) -> Iterator[None]:
    """Set the number of CPU threads inside a `with` block, for this process and those that it starts.

    Args:
        threads: number of threads; None leaves `OMP_NUM_THREADS` as it is and, if that is not set, shares the available
            processors among the processes.
        processes: number of processes that compute at once.

    Raises:
        ValueError: the number is below 1 or above `MOST`.
    """
    check_at_least(1, threads=threads)
    if threads is not None and threads > MOST:
        raise ValueError(f"threads: {threads}: must be at most {MOST}")
    shares = threads is None
    if threads is None:
        is_given = OPENMP in os.environ and not _shares.get()
        if is_given or (processes == 1 and (_shares.get() or available_processors() == os.cpu_count())):
            yield  # the user's choice, or PyTorch's: one thread for each core
            return
        threads = max(1, available_processors() // processes)
    token = _shares.set(shares)
    before = {name: os.environ.get(name) for name in VARIABLES}
    os.environ.update(thread_environment(threads))
    torch = sys.modules.get("torch")  # if it is imported later, it reads the variable
    used = torch.get_num_threads() if torch else 0
    if torch:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _shares.reset(token)
        if torch:
            torch.set_num_threads(used)
