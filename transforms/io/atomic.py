"""Files that are either complete or absent: written under a temporary name in the same folder, then renamed."""

from __future__ import annotations

import csv
import ctypes
import errno
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any, TextIO

import psutil

from hybridseg.transforms.errors import PathLike

TEMPORARY_NAME = re.compile(r"\.([0-9a-f]{8})-(\d+)-([0-9a-f]+)-[0-9a-f]{8}\.part.*")
"""Machine, process, start of the process in seconds, and a random part."""

FOREIGN_SECONDS = 24 * 3600
"""Age at which a temporary file of another machine, whose processes are unknown here, counts as abandoned."""

SAME_START_SECONDS = 60
"""Tolerance when a process is recognised by its start: clocks are corrected while it runs."""

SEARCH_SHARE = 0.01
"""Most of the time that is spent looking for abandoned files: a folder may hold a hundred thousand."""

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take text for a formula (OWASP, CSV injection)."""

AT_FDCWD, RENAME_EXCHANGE = -100, 2
"""Of renameat2(2) in Linux: paths are relative to the working folder; both names are kept, and exchanged."""

_next_search: dict[str, float] = {}


@contextmanager
def replacing(path: PathLike, suffix: str = "") -> Iterator[Path]:
    """Yield a temporary path to write to, which becomes `path` when the block succeeds and is removed when it fails.

    The temporary name is hidden, short whatever the length of `path`, differs for each call and process, and ends in
    `.part<suffix>`. A killed run leaves such a file at most, never half of `path`; the next write into the folder
    removes it. The folder of `path` is created.

    Args:
        path: where the finished file goes; an existing file stays untouched until the new one is complete.
        suffix: ending of the temporary name, for writers that choose the format by it, such as `.nii.gz`.

    Returns:
        A context manager that yields the temporary path.

    Raises:
        OSError: the folder cannot be created, or the file cannot be written or renamed; it names `path`.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(final.parent)
    temporary = temporary_path(final.parent, suffix)
    try:
        yield temporary
        temporary.replace(final)
    except OSError as error:
        if error.errno is not None and error.filename in (None, os.fspath(temporary)):  # writing to a full disk
            raise OSError(error.errno, os.strerror(error.errno), os.fspath(final)) from error
        raise
    finally:  # nothing is left to remove after the renaming; after KeyboardInterrupt there is
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: PathLike) -> Iterator[Path]:
    """Yield a temporary folder to fill, which becomes `path` when the block succeeds and is removed when it fails.

    An earlier folder is replaced as a whole. Where the system can exchange two folders (Linux, on local file systems),
    a killed process leaves either the earlier or the new one. Elsewhere the earlier one is `.<name>.old` for a moment,
    and stays there if the process is killed in it, until `path` is written again.

    Args:
        path: where the finished folder goes.

    Returns:
        A context manager that yields the temporary folder.

    Raises:
        OSError: the folder cannot be made, filled or renamed; it names `path` or a file in it.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(final.parent)
    temporary = temporary_path(final.parent)
    try:
        temporary.mkdir()
        yield temporary
        if not final.is_dir():
            temporary.rename(final)
        elif not exchange(temporary, final):
            replace_in_two_steps(temporary, final)
        shutil.rmtree(old_name(final), ignore_errors=True)
    except OSError as error:
        named = Path(os.fsdecode(error.filename or temporary))
        if error.errno is not None and named.is_relative_to(temporary):
            path = final / named.relative_to(temporary)
            raise OSError(error.errno, os.strerror(error.errno), os.fspath(path)) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # the earlier one, if they were exchanged


def replace_in_two_steps(new: Path, folder: Path) -> None:
    """Replace a folder by a new one where the two cannot be exchanged; the earlier one is kept as `old_name`.

    Raises:
        OSError: a folder cannot be renamed; the earlier one is in its place again.
    """
    old = old_name(folder)
    shutil.rmtree(old, ignore_errors=True)  # of a killed process
    folder.rename(old)
    try:
        new.rename(folder)
    except BaseException:
        with suppress(OSError):  # another process was faster
            old.rename(folder)
        raise


def old_name(folder: Path) -> Path:
    """Return where a folder is while it is replaced in two steps."""
    return folder.with_name(f".{folder.name}.old")


def exchange(first: Path, second: Path) -> bool:
    """Exchange two folders in one step; return False, and do nothing, where the system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    if rename(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE) == 0:
        return True
    if (code := ctypes.get_errno()) in (errno.EINVAL, errno.ENOSYS, errno.EXDEV, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), os.fspath(second))


def temporary_path(folder: Path, suffix: str = "") -> Path:
    """Return a new temporary path in a folder; its name has the machine and the process that it belongs to."""
    started = int(psutil.Process().create_time())
    return folder / f".{this_machine()}-{os.getpid()}-{started:x}-{secrets.token_hex(4)}.part{suffix}"


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files and folders that dead processes left in a folder; those of other machines after a day.

    Calls that follow each other closely are skipped, so that searching takes little of the time. A file that cannot be
    removed stays.
    """
    key, began = os.fspath(folder), time.monotonic()
    if began < _next_search.get(key, 0):
        return
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if (match := TEMPORARY_NAME.fullmatch(entry.name)) and _is_abandoned(match, entry):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                    continue
                with suppress(OSError):
                    os.unlink(entry.path)
    ended = time.monotonic()
    _next_search[key] = ended + (ended - began) / SEARCH_SHARE


def _is_abandoned(match: re.Match[str], entry: os.DirEntry[str]) -> bool:
    """Return whether the process that a temporary file belongs to is gone."""
    machine, process, started = match[1], int(match[2]), int(match[3], 16)
    try:
        if machine != this_machine():
            return time.time() - entry.stat(follow_symlinks=False).st_mtime > FOREIGN_SECONDS
        return abs(psutil.Process(process).create_time() - started) > SAME_START_SECONDS
    except psutil.NoSuchProcess:
        return True
    except (OSError, psutil.AccessDenied):
        return False


@cache
def this_machine() -> str:
    """Return eight hexadecimal digits for this machine, or for this container: process numbers hold in one only."""
    try:
        processes = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        processes = 0
    return sha256(f"{platform.node()} {processes}".encode()).hexdigest()[:8]


def write_text(path: PathLike, text: str) -> None:
    """Write a text file in UTF-8; if it has this content already, only renew its time, which needs no room on a disk.

    Args:
        path: the file; its folder is created.
        text: the content. Surrogates from undecodable file names are escaped.

    Raises:
        OSError: the file cannot be written.
    """
    content = text.encode(errors="backslashreplace")
    with suppress(OSError):
        if Path(path).read_bytes() == content:
            os.utime(path)
            return
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_texts(texts: Mapping[Path, str]) -> None:
    """Write text files in UTF-8 that belong together: if one cannot be written, all stay as they were.

    A process that is killed while they are renamed leaves none of the first: it is removed before, and renamed last.

    Args:
        texts: content by path; the first file is the one that readers rely on.

    Raises:
        OSError: a file cannot be written.
    """
    with ExitStack() as stack:
        for path, text in texts.items():
            stack.enter_context(replacing(path)).write_bytes(text.encode(errors="backslashreplace"))
        next(iter(texts)).unlink(missing_ok=True)


def write_csv(path: PathLike, fieldnames: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table as CSV, with a header line and `\\n` at line ends; see `write_text`.

    Text that a spreadsheet would take for a formula is written with an apostrophe before it; so is text that begins
    with apostrophes before such a character, so that removing one apostrophe always gives the original.

    Args:
        path: the file; its folder is created.
        fieldnames: columns, in order.
        rows: values by column; a missing column is left empty.

    Raises:
        ValueError: a row has a column that is not in `fieldnames`.
        OSError: the file cannot be written.
    """
    write_text(path, csv_text(fieldnames, rows))


def csv_text(fieldnames: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the text of a table; see `write_csv`."""
    text = StringIO()
    writer = csv.DictWriter(_UnixLines(text), fieldnames)
    writer.writeheader()
    writer.writerows({name: escape_formula(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


class _UnixLines:
    """Writes the lines of a CSV writer with `\n` at their ends; set as its lineterminator, it would not quote `\r`."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def write(self, line: str) -> int:
        return self.file.write(line.removesuffix("\r\n") + "\n")


def escape_formula(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula: text is escaped, numbers stay numbers.

    Examples:
        >>> escape_formula("=1+1"), escape_formula("liver"), escape_formula(-1.5)
        ("'=1+1", 'liver', -1.5)
    """
    is_text = isinstance(value, str | os.PathLike)
    return f"'{value}" if is_text and str(value).lstrip("'").startswith(FORMULA_STARTS) else value
