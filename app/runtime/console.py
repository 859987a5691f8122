"""What appears on a user's terminal: one line for each error, and nothing that a library wants to tell."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

LONGEST_MESSAGE = 1000


WARNING_MODULE = "hybridseg.transforms.intensity"
"""The module whose own warnings are told."""


def say(command: str, message: str) -> None:
    """Print a line to standard error, without tearing a progress bar.

    What a file's name may hold and a terminal would obey, such as a line break or an escape, is shown as Python has it.
    """
    from tqdm import tqdm

    shown = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in message)
    tqdm.write(f"hybridseg {command}: {shown}", file=sys.stderr)


def cause(error: BaseException) -> BaseException:
    """What matters of an error: MONAI wraps what its transforms and configurations raise into a RuntimeError."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def one_line(error: BaseException) -> str:
    """What to tell of an error: our own messages (ValueError) as they are, others with their kind before them."""
    error = cause(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    message = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
    if len(message) > LONGEST_MESSAGE:
        message = f"{message[:LONGEST_MESSAGE]} …"
    return message if isinstance(error, ValueError) and message else f"{type(error).__name__}: {message}".rstrip(": ")


@contextmanager
def quiet(command: str, *, enabled: bool = True) -> Iterator[None]:
    """Keep warnings and log messages of libraries from the screen, in this process and in those it starts.

    What `WarnOfModalityd` warns of is told in a line, as errors are; by processes it starts, as Python tells warnings.

    Args:
        command: its name, for these lines.
        enabled: False changes nothing.
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


def as_json(record: Any) -> str:
    """JSON for people and machines; infinity and nan, which JSON lacks, are our mistake.

    Bytes of a file's name that are no UTF-8 become JSON's escapes, since Python cannot write them otherwise.
    """
    text = json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False)
    return text.encode(errors="backslashreplace").decode()


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of columns two spaces apart, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_pad(row, widths)).rstrip() for row in rows]


def _pad(row: Sequence[str], widths: Sequence[int]) -> Iterable[str]:
    first, *others = zip(row, widths, strict=True)
    yield first[0].ljust(first[1])
    for cell, width in others:
        yield cell.rjust(width)
