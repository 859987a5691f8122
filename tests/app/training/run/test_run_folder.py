"""A run resumes from its latest checkpoint."""

from __future__ import annotations

from pathlib import Path

from hybridseg.app.training.run.run_folder import latest_checkpoint


def test_latest_checkpoint_is_that_of_the_last_epoch(tmp_path: Path) -> None:
    for name in ("checkpoint_epoch=9.pt", "checkpoint_epoch=10.pt", "model.pt", "checkpoint_epoch=99.pt.part"):
        (tmp_path / name).touch()
    assert latest_checkpoint(tmp_path) == str(tmp_path / "checkpoint_epoch=10.pt")
    assert latest_checkpoint(tmp_path / "missing") is None
