"""Child processes that end when their parent ends, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

WATCH = "HYBRIDSEG_WATCH_PARENT"
"""Environment variable: the number of the process whose end shall end this one; children inherit it."""
ELASTIC_RUN = "TORCHELASTIC_RUN_ID"
"""Environment variable that torchrun sets for its workers."""
SECONDS_BETWEEN_LOOKS = 1.0
PR_SET_PDEATHSIG = 1
"""Option of Linux's `prctl`: the signal that a process gets when its parent ends."""


def terminate_with_parent() -> Callable[[], None] | None:
    """Return what `subprocess.Popen(preexec_fn=…)` calls on Linux, so that SIGTERM follows the death of the parent.

    Elsewhere return None: there `watch_parent` alone ends the child.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def before_exec() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the parent ended in between
            os.kill(os.getpid(), signal.SIGTERM)

    return before_exec


def watch_parent() -> None:
    """End this process when its parent or the process that `WATCH` names is gone.

    `torchrun` starts its workers in sessions of their own and may be killed itself; each worker watches it. Without
    `WATCH` and outside torchrun do nothing.
    """
    starter = os.environ.get(WATCH)
    if starter or ELASTIC_RUN in os.environ:
        watched = {os.getppid()} | ({int(starter)} if starter else set())
        threading.Thread(target=_end_after, args=(watched,), daemon=True).start()


def _end_after(processes: set[int]) -> None:
    import psutil  # which a packed bundle does without

    watched = [psutil.Process(process) for process in processes if psutil.pid_exists(process)]
    while len(watched) == len(processes) and all(process.is_running() for process in watched):
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os.kill(os.getpid(), signal.SIGTERM)
