"""Processes that are forked from the test, and killed at random moments."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Callable, Iterator

FORK = multiprocessing.get_context("fork")
"""Starts processes from this one; one that imports everything anew takes many times as long."""


def kill_often(work: Callable[..., None], *args: object, times: int, seconds: float) -> Iterator[None]:
    """Start endless work in a process, kill it at a random moment, and begin again.

    Args:
        work: a function that never returns.
        args: its arguments.
        times: how often.
        seconds: longest time until a kill.

    Yields:
        Nothing, after each kill.
    """
    moments = random.Random(0)
    for _ in range(times):
        process = FORK.Process(target=work, args=args, daemon=True)
        process.start()
        process.join(moments.uniform(0, seconds))
        assert process.is_alive(), "the work ended before it was killed"
        process.kill()
        process.join()
        yield
