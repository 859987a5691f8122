"""What every command is: a dataclass whose fields are the options, and whose `run()` does the work."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path


@dataclass(kw_only=True)
class Command(ABC):
    """A command; the docstring under each field is what `--help` says of the option."""

    debug: bool = False
    """Show the traceback of an error, and what the libraries warn of."""

    @abstractmethod
    def run(self) -> int:
        """Do the work.

        Returns:
            The exit code: 0 when all is done, 1 when some cases failed.

        Raises:
            ValueError: wrong usage, found before anything is computed.
            OSError: a folder that cannot be made or a file that cannot be written.
        """


def make_folder(path: Path, field: str = "output") -> None:
    """Make the output folder, and find out now, not after an hour of computing, that it cannot be written to.

    Args:
        path: the folder.
        field: the option that names it.

    Raises:
        ValueError: it cannot be made or written to.
    """
    rule = "must be a folder that can be made and written to"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{field}: {path}: {error.strerror}: {rule}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ValueError(f"{field}: {path}: no permission: {rule}")
