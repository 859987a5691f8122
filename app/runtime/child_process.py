"""Run other programs: shown while they run, or asked for a result as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .console import hides_bars
from .parent import WATCH, terminate_with_parent

TRACEBACK = "Traceback (most recent call last):"
SECONDS_TO_END = 10

KILLED = (-9, -6)
"""Exit codes of a process without memory: the system killed it, or C++ aborted."""
NO_MEMORY = ("out of memory", "allocate memory", "MemoryError")
"""What torch, CUDA and Python print then, not always in the last line."""


class ChildError(RuntimeError):
    """A child process failed.

    Args:
        task: what it was to do, for the message.
        code: its exit code; negative for a signal.
        stderr: what it printed on standard error.

    Attributes:
        reason: the last line of standard error, and an exit code other than 1.
        out_of_memory: whether it failed for lack of memory.
    """

    def __init__(self, task: str, code: int, stderr: str) -> None:
        last = stderr.strip().splitlines()[-1:]
        self.reason = ": ".join([*([f"exit code {code}"] if code != 1 or not last else []), *last])
        self.out_of_memory = code in KILLED or any(words in stderr for words in NO_MEMORY)
        super().__init__(f"{task} failed: {self.reason}")


def run_json(
    module: str, request: Mapping[str, Any], *, task: str, environment: Mapping[str, str] | None = None
) -> Any:
    """Run a Python module in a new process, and return its answer to a request; see `answer_json`.

    Args:
        module: dotted name, run by `python -m`.
        request: JSON for its standard input.
        task: what the process does, for the error message.
        environment: variables to set beside those of this process.

    Raises:
        ChildError: the process failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(request),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **(environment or {})},
        check=False,
    )
    if done.returncode:
        raise ChildError(task, done.returncode, done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def answer_json(function: Callable[..., Any]) -> None:
    """Answer `run_json` in the child: call a function with the request's items, and print what it returns as JSON.

    It is the last line of standard output, so libraries may print before it.
    """
    print(json.dumps(function(**json.load(sys.stdin))))


def run_child(command: Sequence[str], log: Path, *, show_traceback: bool = False) -> None:
    """Run a program, show its output on standard error, and append it to a log file.

    If standard error is a terminal, the program gets a terminal too, so it draws its progress bars; the file keeps no
    redraws of them. The program is ended if this call is interrupted, or this process killed.

    Args:
        command: the program and its arguments.
        log: the file to append to.
        show_traceback: show the traceback of a failing program too.

    Raises:
        subprocess.CalledProcessError: the program failed; `output` is the reason in one line.
    """
    ours, theirs = open_channel()
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", WATCH: str(os.getpid())}
    try:
        process = subprocess.Popen(
            command, env=environment, stdout=theirs, stderr=theirs, preexec_fn=terminate_with_parent()
        )
    finally:
        os.close(theirs)
    output = Output(show_traceback=show_traceback)
    try:
        with log.open("ab", buffering=0) as file:
            for line in read_lines(ours):
                if not line.endswith("\r"):
                    with suppress(OSError):  # on a full disk the program goes on, and reports what it cannot write
                        file.write(line.encode())
                output.show(line)
        code = process.wait()
    finally:
        end(process)
        output.finish()
    if code:
        raise subprocess.CalledProcessError(code, command, output=output.reason or f"exit code {code}")


class Output:
    """Shows the output of a program, without the traceback of its error.

    Args:
        show_traceback: show the traceback too.

    Attributes:
        reason: the error that ended the program, in one line; empty if there was none.
    """

    def __init__(self, *, show_traceback: bool) -> None:
        self.show_traceback = show_traceback
        self.failing = False
        self.reason = ""
        self.last = "\n"

    def show(self, line: str) -> None:
        """Show a line unless it is part of a traceback."""
        if line.startswith(TRACEBACK):
            self.failing = True
        elif self.failing and not self.reason and line.strip() and not line.startswith(" "):
            self.reason = line.strip()
        if self.show_traceback or not (self.failing or hides_bars()):
            sys.stderr.write(line)
            sys.stderr.flush()
            self.last = line

    def finish(self) -> None:
        """End an unfinished line."""
        if not self.last.endswith("\n"):
            sys.stderr.write("\n")


def open_channel() -> tuple[int, int]:
    """Open a channel for a program's output, a pseudo-terminal if standard error is a terminal.

    Returns:
        The file descriptors to read from and to write to.
    """
    if os.name != "posix" or not sys.stderr.isatty():
        return os.pipe()
    import termios

    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, termios.tcgetwinsize(sys.stderr.fileno()))
    return ours, theirs


def read_lines(channel: int) -> Iterator[str]:
    r"""Yield the lines of a channel; a progress bar's `\r` ends a line too."""
    with open(channel, encoding="utf-8", errors="replace", newline="") as stream:
        try:
            yield from (line.replace("\r\n", "\n") for line in stream)
        except OSError:  # a pseudo-terminal raises when its last writer has closed it
            return


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program that is still running, such as after Ctrl-C."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
