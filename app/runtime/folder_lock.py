"""One run at a time in a folder: a lock that names its holder, and that a dead process does not hold."""

from __future__ import annotations

import atexit
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .distributed import rank, world_size

LOCK = ".hybridseg.lock"
"""The locked file; it describes its holder."""
SECONDS_TO_JOIN = 60.0
"""How long the other processes of a run wait for the first to hold the lock."""


@contextmanager
def folder_lock(folder: Path, field: str, name: str = LOCK) -> Iterator[None]:
    """Hold a folder while a run writes to it.

    The system releases the lock when the process ends, however it ends, also on network file systems with locks. Under
    torchrun the first process holds the lock for all.

    Args:
        folder: exists and can be written to.
        field: the option that names it, for the error.
        name: of the locked file, for a command that starts others which hold the folder themselves.

    Raises:
        ValueError: another run holds the folder; the message names its process.
    """
    path = folder / name
    if rank() > 0:
        join_run(path, field)
        yield
        return
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise in_use(path, field) from None
    try:
        with suppress(OSError):  # on a full disk the lock holds without a description
            path.write_text(json.dumps(describe_process()), encoding="utf-8")
        yield
    finally:
        path.unlink(missing_ok=True)  # still locked: who opened it meanwhile finds it gone and tries again
        lock.release()


_held = ExitStack()
_folders: set[Path] = set()


def hold_folder(folder: Path, field: str) -> None:
    """Hold a folder until this process ends; once is enough, as for a server that trains again and again.

    Args:
        folder: exists and can be written to.
        field: the option that names it, for the error.

    Raises:
        ValueError: another run holds the folder; the message names its process.
    """
    if folder.resolve() not in _folders:
        _held.enter_context(folder_lock(folder, field))
        _folders.add(folder.resolve())


atexit.register(_held.close)


def describe_process() -> dict[str, Any]:
    """Describe this process for those who find its lock."""
    return {
        "process": os.getpid(),
        "machine": platform.node(),
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": " ".join([program_name(Path(sys.argv[0])), *sys.argv[1:2]]),
        "run": run_name(),
    }


def program_name(path: Path) -> str:
    """Return the name of a program by its file, such as `monai.bundle` for what `python -m` runs."""
    return ".".join(path.parts[-3:-1]) if path.name == "__main__.py" else path.name


def run_name() -> str | None:
    """Return what the processes of one torchrun share; None for a process of its own."""
    names = ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT")
    return "/".join(os.environ.get(name, "") for name in names) if world_size() > 1 else None


def read_holder(path: Path) -> dict[str, Any]:
    """Read who holds a lock; nothing where that cannot be read."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def in_use(path: Path, field: str) -> ValueError:
    """Return the error that names the process that holds a lock."""
    holder = read_holder(path)
    who = "another process"
    if holder:
        who = "process {process} on {machine} ({command}, since {started})".format_map(holder)
    return ValueError(f"{field}: {path.parent}: in use by {who}: must be used by one run at a time")


def join_run(path: Path, field: str) -> None:
    """Wait until the first process of this run holds the lock.

    Raises:
        ValueError: it does not within `SECONDS_TO_JOIN`.
    """
    until = time.monotonic() + SECONDS_TO_JOIN
    while read_holder(path).get("run") != run_name():
        if time.monotonic() > until:
            raise in_use(path, field)
        time.sleep(0.1)
