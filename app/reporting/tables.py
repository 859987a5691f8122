"""The tables of a report, as rows of cells: failed cases, the summary of the scores, scores, volumes, curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hybridseg.app.evaluation.metrics import LabelScore
from hybridseg.app.evaluation.summary import Spread, Summary, summarise_scores

from .charts import Chart, score_chart
from .curves import Curve
from .outliers import FEWEST, LIMIT, LabelVolume

MOST_ROWS = 5000
"""Largest number of rows of scores; browsers get slow with more."""
MOST_STEPS = 50
"""Largest number of rows of a curve, not counting the last step."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell of a table.

    Args:
        shown: the text it shows.
        value: the value it is sorted by; None is sorted last, in either direction.
        note: small text below.
        marked: whether it calls for attention.
        long: whether its text may be long.
    """

    shown: str
    value: float | str | None
    note: str = ""
    marked: bool = False
    long: bool = False

    @property
    def is_number(self) -> bool:
        """Whether it is a cell of a number, which may be missing."""
        return not isinstance(self.value, str)

    @property
    def classes(self) -> str:
        """Its classes in the style sheet."""
        kinds = {"number": self.is_number, "marked": self.marked, "long": self.long}
        return " ".join(kind for kind, applies in kinds.items() if applies)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table whose first column names its rows.

    Args:
        caption: what it shows.
        headings: heading of each column.
        rows: the cells of each row, one per column.
        sortable: whether a click on a heading sorts it.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    sortable: bool = False

    @property
    def columns(self) -> list[tuple[str, bool]]:
        """The heading of each column, and whether the column holds numbers."""
        return [(heading, any(row[at].is_number for row in self.rows)) for at, heading in enumerate(self.headings)]


@dataclass(frozen=True, kw_only=True)
class TableSection:
    """A table with a note and a chart below.

    Args:
        table: the table.
        note: how to read the table; may be empty.
        chart: None if it would only repeat the table.
    """

    table: Table
    note: str = ""
    chart: Chart | None = None


def failure_section(failures: Sequence[tuple[str, str]]) -> TableSection | None:
    """List the failed cases, each with its error; None if there are none."""
    rows = [[word(case), word(line, long=True)] for case, line in failures]
    table = Table(caption="Failed cases", headings=["Case", "Error"], rows=rows)
    return TableSection(table=table) if rows else None


def outside_section(outside: Sequence[tuple[str, str]]) -> TableSection | None:
    """List the cases whose scan is outside what the model was trained on; None if there are none."""
    rows = [[word(case), word(differences, long=True)] for case, differences in outside]
    table = Table(caption="Scans outside what the model was trained on", headings=["Case", "Scan"], rows=rows)
    return TableSection(table=table, note="Do not trust the labels of these cases unseen.") if rows else None


def agreement_section(scores: Sequence[LabelScore], tolerance: float) -> TableSection | None:
    """Summarise the scores as `hybridseg evaluate` does, with a chart of every Dice; None without scores.

    Args:
        scores: of cases and labels.
        tolerance: of the surface Dice, in mm.
    """
    if not scores:
        return None
    summaries = summarise_scores(scores)
    labels, overall = summaries[:-1], summaries[-1]
    headings = ["Label", "Dice", f"Surface Dice at {tolerance:g} mm", "HD95, mm", "ASSD, mm", "Volume error, ml"]
    headings += ["Found", "Missed", "False", "Absent"]
    table = Table(
        caption="Agreement with the references: mean over cases",
        headings=headings,
        rows=[summary_row(summary) for summary in (summaries if len(labels) > 1 else labels)],
    )
    notes = []
    if overall.dice.low is not None:
        notes.append("Below each mean: its 95 % confidence interval, by bootstrap over cases.")
    if overall.missed or overall.false:
        notes.append("Missed and false labels count as 0 in Dice and surface Dice, and are left out of HD95 and ASSD.")
    dice = {label.label: [s.dice for s in scores if s.label == label.label and s.dice is not None] for label in labels}
    chart = None if overall.dice.low is None else score_chart(labels, dice)
    return TableSection(table=table, note=" ".join(notes), chart=chart)


def summary_row(summary: Summary) -> list[Cell]:
    """Return the cells of a label's summary."""
    counts = (summary.found, summary.missed, summary.false, summary.absent)
    marked = (False, summary.missed > 0, summary.false > 0, False)
    measures = ((summary.dice, 3), (summary.surface_dice, 3), (summary.hd95, 2), (summary.assd, 2))
    return [
        word(summary.name),
        *(mean_cell(spread, digits) for spread, digits in (*measures, (summary.volume_difference_ml, 2))),
        *(number(count, marked=mark) for count, mark in zip(counts, marked, strict=True)),
    ]


def mean_cell(spread: Spread, digits: int) -> Cell:
    """Return the cell of a mean, with its confidence interval below."""
    if spread.low is None or spread.high is None:
        return number(spread.mean, digits)
    return number(spread.mean, digits, note=f"{decimals(spread.low, digits)} to {decimals(spread.high, digits)}")


def score_section(scores: Sequence[LabelScore], order: Sequence[str]) -> TableSection | None:
    """List the scores of every case and label, the worst case first and its worst label first; None without scores.

    Args:
        scores: of cases and labels.
        order: the cases, worst first.
    """
    if not scores:
        return None
    place = {case: index for index, case in enumerate(order)}
    ordered = sorted(scores, key=lambda s: (place[s.case], s.dice is None, s.dice or 0.0, s.label))
    headings = ["Case", "Label", "Outcome", "Dice", "HD95, mm", "ASSD, mm", "Surface Dice"]
    headings += ["Reference, ml", "Prediction, ml", "Error, ml"]
    table = Table(
        caption="Scores of each case and label, lowest mean Dice first",
        headings=headings,
        rows=[score_row(score) for score in ordered[:MOST_ROWS]],
        sortable=True,
    )
    left_out = f"Shows the worst {MOST_ROWS} of {len(ordered)} rows; hybridseg evaluate -o writes all to scores.csv."
    return TableSection(table=table, note=left_out if len(ordered) > MOST_ROWS else "")


def score_row(score: LabelScore) -> list[Cell]:
    """Return the cells of a label's score in a case."""
    return [
        word(score.case),
        word(score.name),
        word(score.outcome, marked=score.outcome in ("missed", "false")),
        number(score.dice, 3),
        number(score.hd95, 2),
        number(score.assd, 2),
        number(score.surface_dice, 3),
        number(score.reference_ml, 2),
        number(score.prediction_ml, 2),
        number(score.volume_difference_ml, 2),
    ]


def volume_section(volumes: Sequence[LabelVolume], order: Sequence[str]) -> TableSection | None:
    """List the volume of every label in every case, outliers marked; None without volumes.

    Args:
        volumes: of cases and labels.
        order: the cases, worst first.
    """
    if not volumes:
        return None
    by_case: dict[str, dict[int, LabelVolume]] = {}
    for volume in volumes:
        by_case.setdefault(volume.case, {})[volume.label] = volume
    names = {volume.label: volume.name for volume in volumes}
    table = Table(
        caption="Volume of each label in ml, farthest outlier first",
        headings=["Case", *names.values()],
        rows=[
            [word(case), *(volume_cell(by_case[case][label]) for label in names)] for case in order if case in by_case
        ],
        sortable=True,
    )
    count = sum(volume.outlier for volume in volumes)
    marked = (
        "z is the distance from the median over the cases, in robust standard deviations (1.4826 times the median "
        f"absolute deviation). Volumes with an absolute z above {LIMIT} are marked: {count} of {len(volumes)}."
    )
    few = f"Outliers are marked only with {FEWEST} or more cases; there are {len(by_case)}."
    return TableSection(table=table, note=marked if len(by_case) >= FEWEST else few)


def volume_cell(volume: LabelVolume) -> Cell:
    """Return the cell of a volume, with its z-score if it is an outlier."""
    note = f"outlier, z {volume.z:+.1f}".replace("-", "\N{MINUS SIGN}") if volume.outlier else ""
    return number(volume.ml, 1, note=note, marked=volume.outlier)


def curve_table(curve: Curve) -> Table:
    """Tabulate a curve; a long one by evenly spaced steps and the last."""
    every = -(-len(curve.points) // MOST_STEPS)
    chosen = dict.fromkeys([*curve.points[::every], curve.points[-1]])
    return Table(
        caption=f"{curve.name} by {curve.unit}",
        headings=[curve.unit.capitalize(), curve.name],
        rows=[[Cell(shown=str(step), value=step), number(value, 4)] for step, value in chosen],
    )


def word(value: str, *, marked: bool = False, long: bool = False) -> Cell:
    """Return a cell of text."""
    return Cell(shown=value, value=value, marked=marked, long=long)


def number(value: float | None, digits: int = 0, *, note: str = "", marked: bool = False) -> Cell:
    """Return a cell of a number with so many decimals, or of a dash for None, and a note below."""
    shown = "\N{EN DASH}" if value is None else decimals(value, digits)
    return Cell(shown=shown, value=value, note=note, marked=marked)


def decimals(value: float, digits: int) -> str:
    """Format a number with so many decimals."""
    return f"{value:z.{digits}f}".replace("-", "\N{MINUS SIGN}")
