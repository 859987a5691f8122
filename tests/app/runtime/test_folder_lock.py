"""A folder is written to by one run at a time; a dead process holds nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hybridseg.app.runtime.folder_lock import LOCK, folder_lock

HOLD = """
import sys
from pathlib import Path
from hybridseg.app.runtime.folder_lock import folder_lock
with folder_lock(Path(sys.argv[1]), "output"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start processes that hold the folder until their standard input ends."""
    started = []

    def start(**variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, tmp_path],
            env={**os.environ, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_second_run_names_the_process_that_holds_the_folder(
    tmp_path: Path, hold: Callable[..., subprocess.Popen[str]]
) -> None:
    holder = hold()
    with (
        pytest.raises(ValueError, match=rf"output: .*: in use by process {holder.pid} on "),
        folder_lock(tmp_path, "output"),
    ):
        pass
    holder.communicate("")
    with folder_lock(tmp_path, "output"):
        assert (tmp_path / LOCK).is_file()
    assert not list(tmp_path.iterdir())


def test_killed_process_leaves_the_folder_free(tmp_path: Path, hold: Callable[..., subprocess.Popen[str]]) -> None:
    holder = hold()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with folder_lock(tmp_path, "output"):
        pass


def test_processes_of_one_run_share_the_lock(
    tmp_path: Path, hold: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = {"WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "one", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    hold(**run, RANK="0")
    for name, value in {**run, "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with folder_lock(tmp_path, "output"):
        pass
    monkeypatch.setattr("hybridseg.app.runtime.folder_lock.SECONDS_TO_JOIN", 0)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "other")
    with pytest.raises(ValueError, match="must be used by one run at a time"), folder_lock(tmp_path, "output"):
        pass
