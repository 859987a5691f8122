"""gzip files: by ISA-L where it is installed, several times as fast, otherwise by Python's own module."""

from __future__ import annotations

import gzip
from typing import Any

try:
    from isal import igzip
except ImportError:  # a packed bundle makes do without
    open_gzip: Any = gzip.open
else:
    open_gzip = igzip.open
