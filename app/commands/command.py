"""The base class of commands, and the output folder that several of them make."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from hybridseg.app.runtime.console import print_result
from hybridseg.app.runtime.options import parse_size

PrecisionName = Literal["auto", "fp32", "bf16", "fp16"]
"""The same names as `transforms.precision.PrecisionName`; a copy, since that module imports torch."""
BUNDLE_DEFAULT = "(default: the bundle's)"
"""What `--help` shows as the default of an option whose default is in the bundle."""


@dataclass(kw_only=True)
class Command(ABC):
    """A command: its fields are the options, and the docstring under a field is the help of that option."""

    examples: ClassVar[tuple[str, ...]] = ()
    """Command lines for the help, without the name of the command."""

    quiet: bool = False
    """Print results, warnings and errors only, no progress."""
    verbose: bool = False
    """Print a line for each case that is done, on a terminal too, and the time that the command took."""
    json: bool = False
    """Print the result as JSON, and all else on standard error."""
    debug: bool = False
    """Show tracebacks of errors and warnings of libraries."""

    def show(self, record: Any, text: str) -> None:
        """Print the result: as text, or with `--json` its record."""
        from hybridseg.transforms.io.json_files import as_json

        if self.json:
            print_result(as_json(record))
        else:
            print(text)

    @abstractmethod
    def run(self) -> int:
        """Do the work.

        Returns:
            The exit code: 0 if everything succeeded, 1 if some cases failed.

        Raises:
            ValueError: wrong usage, found before anything is computed.
            OSError: a folder cannot be made, or a file cannot be written.
        """


@dataclass(kw_only=True)
class ComputingCommand(Command):
    """A command that computes for more than a moment."""

    threads: Annotated[
        int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: OMP_NUM_THREADS, or the cores)")
    ] = None
    """CPU threads of each process; several processes share the cores."""


@dataclass(kw_only=True)
class VolumeCommand(ComputingCommand):
    """A command that reads volumes."""

    max_memory: Annotated[str | None, tyro.conf.arg(metavar="SIZE", help_behavior_hint="(default: what is free)")] = (
        None
    )
    """Most memory that a case may need, such as 8GB; a case that needs more fails before it is read."""

    def run(self) -> int:
        """Check the limit on memory, and do the work within it.

        Raises:
            ValueError: the limit is not a size.
        """
        from hybridseg.transforms.io.limits import limit_memory

        with limit_memory(None if self.max_memory is None else parse_size(max_memory=self.max_memory)):
            return self.process()

    @abstractmethod
    def process(self) -> int:
        """Do the work, as `Command.run`."""


_made: list[Path] = []
"""Folders that did not exist before."""


def remove_empty_folders() -> None:
    """Remove the folders that `make_folder` made and that are still empty, as after an error."""
    while _made:
        with suppress(OSError):  # it is not empty, or gone
            _made.pop().rmdir()


def make_folder(path: Path, field: str = "output") -> None:
    """Make the output folder, and check now, not after an hour of computing, that it is writable.

    Args:
        path: the folder.
        field: the option that names it.

    Raises:
        ValueError: the folder cannot be made or written to.
    """
    rule = "must be a folder that can be made and written to"
    try:
        _made.extend(folder for folder in reversed((path, *path.parents)) if not folder.exists())
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{field}: {path}: {error.strerror}: {rule}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ValueError(f"{field}: {path}: no permission: {rule}")
