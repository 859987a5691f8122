"""The metrics of every epoch are kept in a table and drawn, over all starts of a run."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image

from hybridseg.app.training.progress.history import PICTURE, TABLE, History, read_rows


def test_resumed_run_continues_the_table(tmp_path: Path) -> None:
    first = History(tmp_path)
    first.add(1, {"loss": 0.5})
    first.add(2, {"loss": 0.25, "mean_dice": 0.75, "dice/liver": 0.75})
    first.add(3, {"loss": 0.125})  # of an epoch without a checkpoint
    resumed = History(tmp_path)
    resumed.add(3, {"loss": 0.0625})
    assert read_rows(tmp_path / TABLE) == [
        {"epoch": 1, "loss": 0.5},
        {"epoch": 2, "loss": 0.25, "mean_dice": 0.75, "dice/liver": 0.75},
        {"epoch": 3, "loss": 0.0625},
    ]
    assert [line.split(",")[0] for line in (tmp_path / TABLE).read_text().splitlines()] == ["epoch", "1", "2", "3"]


def test_new_run_replaces_the_table(tmp_path: Path) -> None:
    History(tmp_path).add(1, {"loss": 0.5})
    history = History(tmp_path)
    history.add(1, {"loss": 1.5})
    assert read_rows(tmp_path / TABLE) == [{"epoch": 1, "loss": 1.5}]


def test_damaged_table_is_replaced(tmp_path: Path) -> None:
    for text in ("epoch,loss\n1,high\n", "loss\n1\n", "epoch,loss\n1,2,3\n", "loss,epoch\n1\n"):
        (tmp_path / TABLE).write_text(text)
        assert read_rows(tmp_path / TABLE) == []


def test_curves_are_drawn_also_for_a_single_epoch(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.add(1, {"loss": 0.5, "learning_rate": 0.1})
    assert history.draw() == tmp_path / PICTURE
    first = matplotlib.image.imread(tmp_path / PICTURE)
    history.add(2, {"loss": 0.25, "learning_rate": 0.1, "mean_dice": 0.5, "dice/liver": 0.5})
    history.draw()
    assert (matplotlib.image.imread(tmp_path / PICTURE) != first).any()
