"""The metrics of every epoch of a run: `progress.csv`, and drawn as `progress.png`."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from hybridseg.transforms.io.atomic import replacing, write_csv

from .metrics import DICE, label_dice

TABLE, PICTURE = "progress.csv", "progress.png"
EPOCH, MEAN = "epoch", "mean_dice"
PANELS: Mapping[str, str] = {
    "loss": "loss",
    "learning_rate": "learning rate",
    "gradient_norm": "gradient norm",
}
"""Metrics that get a panel of their own, beside that of the Dice."""
SHOWN_LABELS = 10
"""Labels that get a curve of their own."""

MARKED = 40
"""Points of a curve up to which each is marked."""

Row = dict[str, float]
"""Metrics of an epoch by name, with `epoch`."""


class History:
    """The metrics of every epoch of a run, kept in its folder, so that a resumed run continues them.

    Args:
        run_dir: folder of the run.
    """

    def __init__(self, run_dir: str | Path) -> None:
        self.folder = Path(run_dir)
        self.rows: list[Row] = []

    def add(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Add the metrics of an epoch, and write the table.

        The first epoch of a resumed run follows the earlier epochs of the table; one that cannot be read is replaced.

        Raises:
            OSError: the table cannot be written.
        """
        if not self.rows:
            self.rows = [row for row in read_rows(self.folder / TABLE) if row[EPOCH] < epoch]
        self.rows.append({EPOCH: epoch, **metrics})
        write_csv(self.folder / TABLE, list(dict.fromkeys(chain.from_iterable(self.rows))), self.rows)

    def draw(self) -> Path:
        """Draw the curves, and return the picture.

        Raises:
            OSError: it cannot be written.
        """
        draw_progress(self.rows, self.folder / PICTURE)
        return self.folder / PICTURE


def read_rows(path: Path) -> list[Row]:
    """Read a table; empty if it is not there or cannot be read."""
    with suppress(OSError, ValueError, KeyError, TypeError, csv.Error), path.open(encoding="utf-8", newline="") as file:
        return [
            {EPOCH: int(row.pop(EPOCH)), **{name: float(value) for name, value in row.items() if value}}
            for row in csv.DictReader(file)
        ]
    return []


def draw_curve(axes: Any, rows: Sequence[Row], name: str, **style: Any) -> None:
    """Draw a metric by epoch, if it was measured."""
    if points := [(row[EPOCH], row[name]) for row in rows if name in row]:
        axes.plot(*zip(*points, strict=True), marker="." if len(points) < MARKED else "", **style)


def draw_progress(rows: Sequence[Row], path: Path) -> None:
    """Draw loss, Dice of each label, learning rate and gradient norm by epoch.

    Raises:
        OSError: the picture cannot be written.
    """
    from matplotlib import rc_context, style
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from hybridseg.transforms.structures import label_colours

    labels = list(label_dice(dict.fromkeys(chain.from_iterable(rows), 0.0)))[:SHOWN_LABELS]
    with rc_context(style.library["dark_background"]):  # on which the colours of labels are seen
        figure = Figure(figsize=(11, 7), layout="constrained")
        loss, dice, *others = figure.subplots(2, 2).flat
        for axes, (name, title) in zip((loss, *others), PANELS.items(), strict=True):
            draw_curve(axes, rows, name)
            axes.set_title(title)
        for label, colour in zip(labels, label_colours(labels), strict=True):
            draw_curve(dice, rows, f"{DICE}{label}", color=colour, label=label.replace("_", " "))
        draw_curve(dice, rows, MEAN, color="white", linewidth=2.5, label="mean")
        dice.set(title="Dice of the validation", ylim=(0, 1))
        if dice.lines:
            dice.legend(fontsize="small")
        for axes in figure.axes:
            axes.set(xlabel="epoch", xlim=(0.5, rows[-1][EPOCH] + 0.5))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(alpha=0.2)
        with replacing(path, suffix=".png") as temporary:
            figure.savefig(temporary, dpi=100)
