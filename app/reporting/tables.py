"""The tables of a report: what failed, the summary of the scores with its chart, all scores, all volumes."""

from __future__ import annotations

from collections.abc import Sequence

from hybridseg.app.evaluation.metrics import LabelScore
from hybridseg.app.evaluation.summary import Spread, Summary, summarise_scores

from .charts import score_chart
from .html import Cell, decimals, number, paragraph, table, word
from .outliers import FEWEST, LIMIT, LabelVolume

MOST_ROWS = 5000
"""Of the table of scores, beyond which browsers get slow."""


def failure_parts(failures: Sequence[tuple[str, str]]) -> list[str]:
    """The cases that failed, each with its line."""
    rows = [[word(case), word(line, long=True)] for case, line in failures]
    return [table("Cases that failed, and why", ["Case", "What happened"], rows)] if rows else []


def agreement_parts(scores: Sequence[LabelScore], tolerance: float) -> list[str]:
    """The summary of the scores, as `hybridseg evaluate` prints it, and the Dice of all cases as a chart."""
    if not scores:
        return []
    summaries = summarise_scores(scores)
    labels, overall = summaries[:-1], summaries[-1]
    rows = [summary_row(summary) for summary in (summaries if len(labels) > 1 else labels)]
    headings = ["Label", "Dice", f"Surface Dice at {tolerance:g} mm", "HD95, mm", "ASSD, mm", "Volume error, ml"]
    headings += ["Found", "Missed", "False", "Absent"]
    notes = []
    if overall.dice.low is not None:
        notes.append("Below each mean: its 95 % confidence interval, by resampling cases.")
    if overall.missed or overall.false:
        notes.append("Missed and false labels count 0 in Dice and surface Dice, and are not in HD95 and ASSD.")
    dice = {label.label: [s.dice for s in scores if s.label == label.label and s.dice is not None] for label in labels}
    told = "Each dot is a case; the line is their mean, the bar its 95 % confidence interval."
    chart = f"<figure>{score_chart(labels, dice)}<figcaption>{told}</figcaption></figure>"
    return [
        table("Agreement with the references: means over cases", headings, rows),
        paragraph(" ".join(notes), "quiet"),
        chart if overall.dice.low is not None else "",  # of one case it would repeat the table
    ]


def summary_row(summary: Summary) -> list[Cell]:
    """The cells of a label's summary."""
    counts = (summary.found, summary.missed, summary.false, summary.absent)
    marked = (False, summary.missed > 0, summary.false > 0, False)
    measures = ((summary.dice, 3), (summary.surface_dice, 3), (summary.hd95, 2), (summary.assd, 2))
    return [
        word(summary.name),
        *(mean_cell(spread, digits) for spread, digits in (*measures, (summary.volume_difference_ml, 2))),
        *(number(count, marked=mark) for count, mark in zip(counts, marked, strict=True)),
    ]


def mean_cell(spread: Spread, digits: int) -> Cell:
    """A mean with its interval below."""
    if spread.low is None or spread.high is None:
        return number(spread.mean, digits)
    return number(spread.mean, digits, note=f"{decimals(spread.low, digits)} to {decimals(spread.high, digits)}")


def score_parts(scores: Sequence[LabelScore], order: Sequence[str]) -> list[str]:
    """Every case and label, the worst case first, and within it the worst label."""
    if not scores:
        return []
    place = {case: index for index, case in enumerate(order)}
    ordered = sorted(scores, key=lambda s: (place[s.case], s.dice is None, s.dice or 0.0, s.label))
    rows = [
        [
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
        for score in ordered[:MOST_ROWS]
    ]
    headings = ["Case", "Label", "Outcome", "Dice", "HD95, mm", "ASSD, mm", "Surface Dice"]
    headings += ["Reference, ml", "Prediction, ml", "Error, ml"]
    left_out = f"The worst {MOST_ROWS} of {len(ordered)} rows; scores.csv of hybridseg evaluate has all."
    return [
        table("Scores of each case and label, the case of lowest mean Dice first", headings, rows, sortable=True),
        paragraph(left_out if len(ordered) > MOST_ROWS else "", "quiet"),
    ]


def volume_parts(volumes: Sequence[LabelVolume], order: Sequence[str]) -> list[str]:
    """The volume of every label in every case, outliers marked."""
    if not volumes:
        return []
    by_case: dict[str, dict[int, LabelVolume]] = {}
    for volume in volumes:
        by_case.setdefault(volume.case, {})[volume.label] = volume
    names = {volume.label: volume.name for volume in volumes}
    rows = [[word(case), *(volume_cell(by_case[case][label]) for label in names)] for case in order if case in by_case]
    count = sum(volume.outlier for volume in volumes)
    told = (
        "z is the distance from the median over the cases, in robust standard deviations (1.4826 times the median "
        f"absolute deviation); beyond {LIMIT} either way a volume is marked: {count} of {len(volumes)}."
    )
    few = f"Outliers are marked from {FEWEST} cases on; there are {len(by_case)}."
    return [
        table(
            "Volume of each label in ml, the case with the farthest outlier first",
            ["Case", *names.values()],
            rows,
            sortable=True,
        ),
        paragraph(told if len(by_case) >= FEWEST else few, "quiet"),
    ]


def volume_cell(volume: LabelVolume) -> Cell:
    """A volume, with its z-score where it is an outlier."""
    note = f"outlier, z {volume.z:+.1f}".replace("-", "\N{MINUS SIGN}") if volume.outlier else ""
    return number(volume.ml, 1, note=note, marked=volume.outlier)
