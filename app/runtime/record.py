"""Checksums and date for the records of runs."""

from __future__ import annotations

import json
from datetime import datetime
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any


def digest(content: Any) -> str:
    """Return the checksum of a JSON value, whatever the order of its keys."""
    return sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def file_sha256(path: Path) -> str | None:
    """Return the checksum of a file; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def now() -> str:
    """Return date and time with the time zone."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
