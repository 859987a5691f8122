"""gzip files: by ISA-L where it is installed, several times as fast, otherwise by Python's own module."""

from __future__ import annotations

from contextlib import suppress
from gzip import open as open_gzip

with suppress(ImportError):
    from isal.igzip import open as open_gzip

__all__ = ["open_gzip"]
