"""gzip files: opened by ISA-L where it is installed, which is several times as fast, otherwise by Python's module."""

from __future__ import annotations

try:
    from isal.igzip import open as open_gzip
except ImportError:
    from gzip import open as open_gzip

__all__ = ["CHUNK_BYTES", "DEFLATE_RATIO", "GZIP_START", "open_gzip"]

GZIP_START = b"\x1f\x8b"
"""The first bytes of every gzip file."""

DEFLATE_RATIO = 1032
"""Most bytes that one byte of gzip or zlib data can stand for."""

CHUNK_BYTES = 1 << 20
"""Bytes read at a time when a stream is read to its checksum."""
