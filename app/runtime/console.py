"""Output on the terminal: one-line errors, no noise from libraries, tables and JSON."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from typing import Any, Literal, TextIO

LONGEST_MESSAGE = 1000
WARNING_MODULE = "hybridseg.transforms.errors"
"""The module whose warnings are shown."""
LOADING_SECONDS = 1.0
"""How long a command may be silent on a terminal before it says that it is loading."""

_progress: ContextVar[Literal["quiet", "normal", "verbose"]] = ContextVar("progress", default="normal")
"""How much progress the running command prints."""
_results: ContextVar[TextIO | None] = ContextVar("results", default=None)
"""Where results are printed while all else goes to standard error."""


def say(command: str, message: str) -> None:
    """Print `hybridseg COMMAND: MESSAGE` to standard error, above any progress bar.

    Control characters, which file names may contain and a terminal would obey, are printed as Python escapes.
    """
    from tqdm import tqdm

    tqdm.write(f"{f'hybridseg {command}'.rstrip()}: {printable(message)}", file=sys.stderr)


@contextmanager
def progress(*, quiet: bool = False, verbose: bool = False) -> Iterator[None]:
    """Choose how much progress is printed inside a `with` block.

    Args:
        quiet: print no progress.
        verbose: print a line for each case on a terminal too, where a progress bar shows them otherwise.
    """
    token = _progress.set("quiet" if quiet else "verbose" if verbose else "normal")
    try:
        yield
    finally:
        _progress.reset(token)


def hides_bars() -> bool | None:
    """Return the `disable` of a progress bar: None, which hides it where there is no terminal, or True."""
    return True if _progress.get() == "quiet" else None


def say_done(command: str, message: str) -> None:
    """Print progress to standard error where no progress bar shows it: off a terminal, or with `--verbose`."""
    level = _progress.get()
    if level == "verbose" or (level == "normal" and not sys.stderr.isatty()):
        say(command, message)


@contextmanager
def results_only(*, enabled: bool = True) -> Iterator[None]:
    """Inside a `with` block, let only results go to standard output, and what is printed otherwise to standard error.

    Args:
        enabled: False changes nothing.
    """
    if not enabled:
        yield
        return
    token = _results.set(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _results.reset(token)


def print_result(text: str) -> None:
    """Print the result of a command to standard output, also inside of `results_only`."""
    print(text, file=_results.get() or sys.stdout, flush=True)


@contextmanager
def announce_loading(command: str) -> Iterator[None]:
    """Print `loading …` on a terminal if the block is not left within a second: imports of PyTorch take several."""
    if _progress.get() == "quiet" or not sys.stderr.isatty():
        yield
        return
    timer = threading.Timer(LOADING_SECONDS, say, (command, "loading …"))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def printable(text: str) -> str:
    """Return text with its non-printable characters, such as line breaks, as Python escapes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def cause(error: BaseException) -> BaseException:
    """Return the original error: MONAI wraps errors of transforms and configs into RuntimeErrors."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def one_line(error: BaseException) -> str:
    """Return an error as one line: the message of a ValueError, which is ours, or the error type and its message."""
    error = cause(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    message = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
    if len(message) > LONGEST_MESSAGE:
        message = f"{message[:LONGEST_MESSAGE]} …"
    return message if isinstance(error, ValueError) and message else f"{type(error).__name__}: {message}".rstrip(": ")


@contextmanager
def quiet(command: str, *, enabled: bool = True) -> Iterator[None]:
    """Hide warnings and log messages of libraries, in this process and in its child processes.

    A warning of `warn_of_volume` is printed as one line by this process, and in Python's own form by child processes.

    Args:
        command: name of the command, for these lines.
        enabled: False hides nothing.
    """
    if not enabled:
        yield
        return
    before = os.environ.get("PYTHONWARNINGS")
    disabled = logging.root.manager.disable
    os.environ["PYTHONWARNINGS"] = f"ignore,default::UserWarning:{WARNING_MODULE}"
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("default", category=UserWarning, module=re.escape(WARNING_MODULE))
            warnings.showwarning = lambda message, *_: say(command, str(message))
            yield
    finally:
        logging.disable(disabled)
        os.environ.pop("PYTHONWARNINGS")
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before


class LastingOutput:
    """Standard output or error whose reader may go away, as in `| head -1`: the work goes on, and the text is lost.

    Args:
        stream: the output.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write text, if there is a reader."""
        with self.without_reader():
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered, if there is a reader."""
        with self.without_reader():
            self.stream.flush()

    @contextmanager
    def without_reader(self) -> Iterator[None]:
        """Send everything to the null device once the reader has closed the pipe, also what is buffered."""
        try:
            yield
        except BrokenPipeError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.stream.fileno())
            os.close(null)

    def __getattr__(self, name: str) -> Any:
        """Return any other attribute of the stream."""
        return getattr(self.stream, name)


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table: the first column aligned left, the others right, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_pad(row, widths)).rstrip() for row in rows]


def _pad(row: Sequence[str], widths: Sequence[int]) -> Iterable[str]:
    first, *others = zip(row, widths, strict=True)
    yield first[0].ljust(first[1])
    for cell, width in others:
        yield cell.rjust(width)
