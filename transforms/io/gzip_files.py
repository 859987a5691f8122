"""gzip files: by ISA-L where it is installed, several times as fast, otherwise by Python's own module."""

from __future__ import annotations

try:
    from isal.igzip import open as open_gzip
except ImportError:
    from gzip import open as open_gzip

__all__ = ["open_gzip"]
