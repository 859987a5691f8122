"""A failed case is reported in one line, and the other cases continue."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from .console import one_line, say


@contextmanager
def catch_failure(name: str, fail: Callable[[str], object], *, debug: bool = False) -> Iterator[None]:
    """Do the work of one case, and pass an error on as one line instead of raising it.

    Args:
        name: the case or its file; put in front of a message that does not contain it.
        fail: receives the message.
        debug: print the traceback too.
    """
    try:
        yield
    except Exception as error:
        if debug:
            traceback.print_exception(error)
        message = one_line(error)
        fail(message if name in message else f"{name}: {message}")


@dataclass
class CaseFailures:
    """Reports the failed cases of a command on standard error, and keeps their messages.

    Args:
        command: name of the command, for the messages.
        debug: print tracebacks too.

    Attributes:
        failures: case and message of each failure, in order.

    Example:
        >>> failures = CaseFailures("evaluate")
        >>> for case in cases:  # doctest: +SKIP
        ...     with failures.catch(case):
        ...         score(case)
        >>> failures.failures
        []
    """

    command: str
    debug: bool = False
    failures: list[tuple[str, str]] = field(default_factory=list)

    def catch(self, case: str) -> AbstractContextManager[None]:
        """Return a context in which an error is a failure of `case` and nothing more."""
        return catch_failure(case, lambda message: self.add(case, message), debug=self.debug)

    def add(self, case: str, message: str) -> None:
        """Report and keep a failure."""
        self.failures.append((case, message))
        say(self.command, message)

    @property
    def messages(self) -> list[str]:
        """The message of each failure."""
        return [message for _, message in self.failures]

    def __len__(self) -> int:
        return len(self.failures)
