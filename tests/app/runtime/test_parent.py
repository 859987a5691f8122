"""A child process ends when its parent is killed, also when it runs in a session of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from threading import active_count

import psutil
import pytest

from hybridseg.app.runtime.parent import WATCH, watch_parent

START = """
import os, subprocess, sys
from hybridseg.app.runtime.parent import WATCH, terminate_with_parent
preexec = terminate_with_parent() if sys.argv[1] == "signal" else None
variables = {**os.environ, WATCH: str(os.getpid())}
child = subprocess.Popen([sys.executable, "-c", sys.argv[2]], preexec_fn=preexec, start_new_session=True, env=variables)
print(child.pid, flush=True)
child.wait()
"""
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs prctl of Linux")
SLEEP = "import time; time.sleep(60)"
WATCHING = f"from hybridseg.app.runtime.parent import watch_parent; watch_parent(); {SLEEP}"


@pytest.mark.parametrize(
    ("how", "program"),
    [
        pytest.param(
            "signal",
            SLEEP,
            marks=pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs prctl of Linux"),
        ),
        ("watch", WATCHING),
    ],
)
def test_child_ends_with_its_killed_parent(how: str, program: str) -> None:
    with subprocess.Popen([sys.executable, "-c", START, how, program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    gone, _ = psutil.wait_procs([child], timeout=30)
    assert gone, f"{child} still runs"


def test_process_without_the_variable_watches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WATCH, raising=False)
    before = active_count()
    watch_parent()
    assert active_count() == before
