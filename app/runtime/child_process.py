"""Other programs, run so that a user sees their progress but not their traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

TRACEBACK = "Traceback (most recent call last):"
SECONDS_TO_END = 10


def run_child(command: Sequence[str], log: Path, *, show_traceback: bool = False) -> None:
    """Run a program, show on standard error what it prints, and keep all of it in a file.

    On a terminal the program finds a terminal too, and draws its progress bars. It does not outlive this call.

    Args:
        command: the program and its arguments.
        log: the file that keeps its output, after what it has already.
        show_traceback: show the traceback of a program that fails as well.

    Raises:
        subprocess.CalledProcessError: the program failed; `output` is the reason in a line.
    """
    ours, theirs = open_channel()
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    try:
        process = subprocess.Popen(command, env=environment, stdout=theirs, stderr=theirs)
    finally:
        os.close(theirs)
    output = Output(show_traceback=show_traceback)
    try:
        with log.open("a", encoding="utf-8", newline="") as file:
            for line in read_lines(ours):
                file.write(line)
                output.show(line)
        code = process.wait()
    finally:
        end(process)
        output.finish()
    if code:
        raise subprocess.CalledProcessError(code, command, output=output.reason or f"exit code {code}")


class Output:
    """What a program prints on its way to the screen, where the traceback of its error stays away.

    Args:
        show_traceback: show it.

    Attributes:
        reason: the error that ended the program, in a line; empty where there was none.
    """

    def __init__(self, *, show_traceback: bool) -> None:
        self.show_traceback = show_traceback
        self.failing = False
        self.reason = ""
        self.last = "\n"

    def show(self, line: str) -> None:
        """Show a line, unless it is part of a traceback."""
        if line.startswith(TRACEBACK):
            self.failing = True
        elif self.failing and not self.reason and line.strip() and not line.startswith(" "):
            self.reason = line.strip()
        if self.show_traceback or not self.failing:
            sys.stderr.write(line)
            sys.stderr.flush()
            self.last = line

    def finish(self) -> None:
        """Leave the screen at the start of a line."""
        if not self.last.endswith("\n"):
            sys.stderr.write("\n")


def open_channel() -> tuple[int, int]:
    """Where to read a program's output, and where the program writes it: a terminal if standard error is one."""
    if os.name != "posix" or not sys.stderr.isatty():
        return os.pipe()
    import termios

    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, termios.tcgetwinsize(sys.stderr.fileno()))
    return ours, theirs


def read_lines(channel: int) -> Iterator[str]:
    r"""What comes out of a channel, cut where a line ends or, by `\r`, starts again."""
    with open(channel, encoding="utf-8", errors="replace", newline="") as stream:
        try:
            yield from (line.replace("\r\n", "\n") for line in stream)
        except OSError:  # how a terminal tells that nobody writes to it any more
            return


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program that still runs, such as after Ctrl-C."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
