"""Scores as people and machines read them: an aligned table, scores.csv, scores.json and summary.json."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from hybridseg.app.runtime.console import align, as_json
from hybridseg.transforms.io.atomic import replacing

from .metrics import LabelScore
from .summary import Spread, Summary, summarise_scores


def write_reports(scores: Sequence[LabelScore], output_dir: str | Path, *, tolerance: float) -> None:
    """Write `scores.csv` and `scores.json`, a record for each case and label, and `summary.json`.

    Args:
        scores: of all cases.
        output_dir: folder, made when it is not there.
        tolerance: of the surface Dice, in mm.

    Raises:
        OSError: a file cannot be written.
    """
    records = [asdict(score) for score in scores]
    rows = io.StringIO()
    writer = csv.DictWriter(rows, [field.name for field in fields(LabelScore)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    folder = Path(output_dir)
    contents = {
        "scores.csv": rows.getvalue(),
        "scores.json": as_json(records) + "\n",
        "summary.json": as_json(summary_record(scores, tolerance=tolerance)) + "\n",
    }
    for name, text in contents.items():
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")  # a name may be no UTF-8


def summary_record(scores: Sequence[LabelScore], *, tolerance: float) -> dict[str, Any]:
    """The summary of the scores, ready for JSON; `tolerance` is that of the surface Dice, in mm."""
    *labels, overall = summarise_scores(scores)
    return {
        "cases": len({score.case for score in scores}),
        "tolerance_mm": tolerance,
        "labels": [asdict(label) for label in labels],
        "overall": asdict(overall),
    }


def summary_table(scores: Sequence[LabelScore], *, tolerance: float) -> str:
    """A table with a line for each label and one for all; `tolerance` is that of the surface Dice, in mm.

    Under each mean ± standard deviation stands the mean's confidence interval, where there are cases enough for one.
    """
    summaries = summarise_scores(scores)
    if len(summaries) == 2:  # one label: the line for all would repeat it
        summaries.pop()
    header = ["label", "found", "missed", "false", "absent", "Dice", "HD95", "ASSD", "surface Dice", "volume error"]
    units = ["", "", "", "", "", "", "mm", "mm", f"at {tolerance:g} mm", "ml"]
    lines = align([header, units, *(row for summary in summaries for row in _rows(summary))])
    if any(summary.dice.low is not None for summary in summaries):
        lines.append("in brackets: 95 % confidence interval of the mean, by resampling cases")
    if any(summary.missed or summary.false for summary in summaries):
        lines.append("missed or false labels count 0 in Dice and surface Dice, and are not in HD95 and ASSD")
    return "\n".join(lines)


def _rows(summary: Summary) -> Iterable[list[str]]:
    counts = (summary.found, summary.missed, summary.false, summary.absent)
    measures = (
        (summary.dice, 3),
        (summary.hd95, 2),
        (summary.assd, 2),
        (summary.surface_dice, 3),
        (summary.volume_difference_ml, 2),
    )
    yield [summary.name, *map(str, counts), *(_spread(spread, digits) for spread, digits in measures)]
    intervals = [_interval(spread, digits) for spread, digits in measures]
    if any(intervals):
        yield [""] * (1 + len(counts)) + intervals


def _spread(spread: Spread, digits: int) -> str:
    if spread.mean is None:
        return "-"
    return f"{spread.mean:.{digits}f} ± {spread.std:.{digits}f}"


def _interval(spread: Spread, digits: int) -> str:
    if spread.low is None:
        return ""
    return f"[{spread.low:.{digits}f}, {spread.high:.{digits}f}]"
