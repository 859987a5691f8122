"""Start a training: alone in its run folder, and not longer than the process that started it."""

from __future__ import annotations

from pathlib import Path

from hybridseg.app.runtime.folder_lock import hold_folder
from hybridseg.app.runtime.parent import watch_parent


def start_run(run_dir: str | Path) -> None:
    """Create the folder of a run, hold it until this process ends, and end when the starting process ends.

    Raises:
        ValueError: another run holds the folder.
        OSError: the folder cannot be created.
    """
    folder = Path(run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    hold_folder(folder, "run_dir")
    watch_parent()
