"""Cases prepared once for training: compressed on disk, read patch by patch."""

from .store import Store, StoredCase, is_ready, mark_used, open_case, prune, stored_cases

__all__ = ["Store", "StoredCase", "is_ready", "mark_used", "open_case", "prune", "stored_cases"]
