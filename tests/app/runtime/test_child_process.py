"""A child process is shown while it runs, ends with its parent, and fails in one line; or it answers in JSON."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from hybridseg.app.runtime import child_process as child

CHILD = "import os, signal; print(os.getpid(), flush=True); signal.pause()"


def python(program: str, log: Path, *, show_traceback: bool = False) -> None:
    """Run a Python program."""
    child.run_child([sys.executable, "-c", program], log, show_traceback=show_traceback)


def test_output_is_shown_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    python("import sys; print('one'); sys.stdout.flush(); print('two', file=sys.stderr)", tmp_path / "log")
    assert capsys.readouterr().err == "one\ntwo\n"
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


def test_failure_gives_its_reason_and_hides_the_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = (
        "print('before', flush=True)\ntry: 1 / 0\nexcept ZeroDivisionError as e: raise RuntimeError('wrapped') from e"
    )
    with pytest.raises(subprocess.CalledProcessError) as caught:
        python(program, tmp_path / "log")
    assert caught.value.output == "ZeroDivisionError: division by zero"
    assert capsys.readouterr().err == "before\n"
    assert "RuntimeError: wrapped" in (tmp_path / "log").read_text()
    with pytest.raises(subprocess.CalledProcessError):
        python(program, tmp_path / "log", show_traceback=True)
    assert "RuntimeError: wrapped" in capsys.readouterr().err


def test_silent_failure_is_reported_by_its_exit_code(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        python("raise SystemExit(3)", tmp_path / "log")
    assert caught.value.output == "exit code 3"


def test_program_gets_a_terminal_on_a_terminal(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    program = "import sys; from pathlib import Path; from hybridseg.app.runtime.child_process import run_child\n"
    program += "run_child([sys.executable, '-c', 'import sys; print(sys.stderr.isatty())'], Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", program, tmp_path / "log"], stderr=theirs, check=True)
    os.close(theirs)
    assert os.read(ours, 100).strip() == b"True"
    assert (tmp_path / "log").read_text() == "True\n"


def test_program_is_ended_on_interrupt(tmp_path: Path) -> None:
    """The program prints its process id, and the parent is interrupted while it reads that line."""
    program = f"""
import sys
from pathlib import Path
from hybridseg.app.runtime.child_process import run_child

class Interrupting:
    isatty = lambda self: False
    flush = lambda self: None
    def write(self, text):
        raise KeyboardInterrupt

sys.stderr = Interrupting()
try:
    run_child([sys.executable, "-c", {CHILD!r}], Path(sys.argv[1]))
except KeyboardInterrupt:
    sys.exit(130)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "log"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 130, done.stderr
    assert not psutil.pid_exists(int((tmp_path / "log").read_text()))


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Return a function that writes a module for `python -m`, with the given body of `work`, and returns its name."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(body: str) -> str:
        program = (
            f"import os\nfrom hybridseg.app.runtime.child_process import answer_json\ndef work(**request):\n {body}"
        )
        (tmp_path / "job.py").write_text(f"{program}\nanswer_json(work)\n", encoding="utf-8")
        return "job"

    return write


def test_run_json_returns_the_answer(module: Callable[[str], str]) -> None:
    name = module("print('a library talks'); return {'size': request['size'], 'threads': os.environ['THREADS']}")
    found = child.run_json(name, {"size": [1, "é"]}, task="a test", environment={"THREADS": "3"})
    assert found == {"size": [1, "é"], "threads": "3"}


@pytest.mark.parametrize(
    ("body", "message", "out_of_memory"),
    [
        ("raise KeyError('x')", "a test failed: KeyError: 'x'", False),
        ("raise SystemExit(3)", "a test failed: exit code 3", False),
        ("os.write(2, b'no luck'); os._exit(3)", "a test failed: exit code 3: no luck", False),
        ("raise MemoryError", "a test failed: MemoryError", True),
        ("os.kill(os.getpid(), 9)", "a test failed: exit code -9", True),
    ],
)
def test_run_json_says_what_failed(body: str, message: str, out_of_memory: bool, module: Callable[[str], str]) -> None:
    with pytest.raises(child.ChildError) as caught:
        child.run_json(module(body), {}, task="a test")
    assert (str(caught.value), caught.value.out_of_memory) == (message, out_of_memory)
