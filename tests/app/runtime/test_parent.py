"""A child process ends when its parent is killed, also when it runs in a session of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from threading import active_count

import psutil
import pytest

from hybridseg.app.runtime.parent import ELASTIC_RUN, WATCH, watch_parent

START = """
import os, subprocess, sys
from hybridseg.app.runtime.parent import ELASTIC_RUN, WATCH, terminate_with_parent
preexec = terminate_with_parent() if sys.argv[1] == "signal" else None
variable = ELASTIC_RUN if sys.argv[1] == "torchrun" else WATCH
variables = {**os.environ, variable: str(os.getpid())}
child = subprocess.Popen([sys.executable, "-c", sys.argv[2]], preexec_fn=preexec, start_new_session=True, env=variables)
child.wait()
"""
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs prctl of Linux")
SLEEP = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
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
        ("torchrun", WATCHING),
    ],
)
def test_child_ends_with_its_killed_parent(how: str, program: str) -> None:
    with subprocess.Popen([sys.executable, "-c", START, how, program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    gone, _ = psutil.wait_procs([child], timeout=30)
    assert gone, f"{child} still runs"


def test_process_without_a_variable_watches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (WATCH, ELASTIC_RUN):
        monkeypatch.delenv(variable, raising=False)
    before = active_count()
    watch_parent()
    assert active_count() == before
