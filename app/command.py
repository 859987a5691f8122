"""What every command is: a dataclass whose fields are the options, and whose `run()` does the work."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass


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
