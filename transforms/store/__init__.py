"""Cases prepared once for training: compressed on disk, read patch by patch."""

from .entry import folder_size
from .store import Store, StoredCase, is_ready, mark_used, open_case, prune, stored_cases

__all__ = ["Store", "StoredCase", "folder_size", "is_ready", "mark_used", "open_case", "prune", "stored_cases"]
