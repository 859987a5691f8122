"""Find the checkpoints in the folder of a training run. Imports no torch, so that commands check a folder at once."""

from __future__ import annotations

import re
from pathlib import Path

EPOCH = re.compile(r"checkpoint_epoch=([1-9]\d*)\.pt")


def checkpoint_epochs(run_dir: str | Path) -> list[int]:
    """Return N of each `checkpoint_epoch=N.pt` in the folder of a run, in order."""
    found = (EPOCH.fullmatch(path.name) for path in Path(run_dir).glob("*.pt"))
    return sorted(int(name[1]) for name in found if name)


def latest_epoch(run_dir: str | Path) -> int:
    """Return the epoch a run would resume from, or 0."""
    return max(checkpoint_epochs(run_dir), default=0)


def latest_checkpoint(run_dir: str | Path) -> str | None:
    """Return the path of the latest `checkpoint_epoch=N.pt` in the folder of a run, or None."""
    epoch = latest_epoch(run_dir)
    return str(checkpoint_path(run_dir, epoch)) if epoch else None


def checkpoint_path(run_dir: str | Path, epoch: int) -> Path:
    """Return the path of the checkpoint of an epoch in the folder of a run."""
    return Path(run_dir) / f"checkpoint_epoch={epoch}.pt"
