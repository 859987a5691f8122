"""Scores as an aligned table, and as `scores.csv`, `scores.json` and `summary.json`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from hybridseg.app.runtime.console import align
from hybridseg.transforms.io.atomic import csv_text, write_texts
from hybridseg.transforms.io.json_files import as_json

from .metrics import LabelScore
from .summary import Spread, Summary, summarise_scores


def write_reports(
    scores: Sequence[LabelScore],
    output_dir: str | Path,
    *,
    tolerance: float,
    ignore: int | None = None,
    resample: bool = False,
) -> None:
    """Write `scores.csv` and `scores.json`, a record for each case and label, and `summary.json`.

    Args:
        scores: of all cases.
        output_dir: folder to write to; created if needed.
        tolerance: of the surface Dice, in mm.
        ignore: label of voxels without annotation that counted for nothing; None if there was none.
        resample: whether predictions on another grid were resampled.

    Raises:
        OSError: a file cannot be written.
    """
    folder = Path(output_dir)
    records = [asdict(score) for score in scores]
    summary = summary_record(scores, tolerance=tolerance, ignore=ignore, resample=resample)
    write_texts(
        {
            folder / "summary.json": as_json(summary) + "\n",
            folder / "scores.json": as_json(records) + "\n",
            folder / "scores.csv": csv_text([field.name for field in fields(LabelScore)], records),
        }
    )


def summary_record(
    scores: Sequence[LabelScore], *, tolerance: float, ignore: int | None = None, resample: bool = False
) -> dict[str, Any]:
    """Return the summary of the scores, with the options of `write_reports` that made them, as a record for JSON."""
    *labels, overall = summarise_scores(scores)
    return {
        "cases": len({score.case for score in scores}),
        "tolerance_mm": tolerance,
        "ignore": ignore,
        "resample": resample,
        "labels": [asdict(label) for label in labels],
        "overall": asdict(overall),
    }


def summary_table(scores: Sequence[LabelScore], *, tolerance: float) -> str:
    """Return a table with a line for each label and one for all; `tolerance` is that of the surface Dice, in mm.

    Below each mean ± standard deviation is the confidence interval of the mean, if there are enough cases for one.
    """
    summaries = summarise_scores(scores)
    if len(summaries) == 2:  # a single label: the line for all would repeat it
        summaries.pop()
    header = ["label", "found", "missed", "false", "absent", "Dice", "HD95", "ASSD", "surface Dice", "volume error"]
    units = ["", "", "", "", "", "", "mm", "mm", f"at {tolerance:g} mm", "ml"]
    lines = align([header, units, *(row for summary in summaries for row in summary_rows(summary))])
    if any(summary.dice.low is not None for summary in summaries):
        lines.append("in brackets: 95 % confidence interval of the mean, by resampling cases")
    if any(summary.missed or summary.false for summary in summaries):
        lines.append("missed or false labels count 0 in Dice and surface Dice, and are left out of HD95 and ASSD")
    return "\n".join(lines)


def summary_rows(summary: Summary) -> Iterable[list[str]]:
    """Yield the cells of a label's means, and those of their intervals if there are any."""
    counts = (summary.found, summary.missed, summary.false, summary.absent)
    metrics = (
        (summary.dice, 3),
        (summary.hd95, 2),
        (summary.assd, 2),
        (summary.surface_dice, 3),
        (summary.volume_difference_ml, 2),
    )
    yield [summary.name, *map(str, counts), *(mean_cell(spread, digits) for spread, digits in metrics)]
    intervals = [interval_cell(spread, digits) for spread, digits in metrics]
    if any(intervals):
        yield [""] * (1 + len(counts)) + intervals


def mean_cell(spread: Spread, digits: int) -> str:
    """Format mean ± standard deviation, or a dash without scores."""
    return "-" if spread.mean is None else f"{spread.mean:.{digits}f} ± {spread.std:.{digits}f}"


def interval_cell(spread: Spread, digits: int) -> str:
    """Format a confidence interval; empty if there is none."""
    return "" if spread.low is None else f"[{spread.low:.{digits}f}, {spread.high:.{digits}f}]"
