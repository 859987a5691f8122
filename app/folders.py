"""Folders for what a command makes."""

from __future__ import annotations

import os
from pathlib import Path


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
