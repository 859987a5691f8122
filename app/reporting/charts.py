"""The charts of a report: lines, dots and texts in the units of an SVG view box."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from matplotlib.ticker import MaxNLocator

from hybridseg.app.evaluation.summary import Summary

from .curves import Curve

WIDTH, HEIGHT = 420.0, 230.0
"""Size of the chart of a curve."""
LEFT, RIGHT, TOP, BOTTOM = 52.0, 14.0, 14.0, 40.0
"""Margins around the axes."""
MOST_POINTS = 300
"""Largest number of points of a curve; in a longer one neighbours are averaged."""
MOST_DOTS = 40
"""Largest number of points that are drawn as dots, too."""
ROW = 30.0
"""Height of a label's row in the chart of scores."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A straight line from one point to another."""

    start: Point
    end: Point


@dataclass(frozen=True)
class ChartText:
    """Text whose `anchor` (`start`, `middle` or `end`) lies at a point."""

    point: Point
    text: str
    anchor: str = "middle"


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """The scores of a label, in a row of a chart.

    Args:
        name: the label's name, to the left.
        interval: confidence interval of the mean, or None.
        dots: a point for each score.
        mean: mean of the scores, or None.
    """

    name: ChartText
    interval: Line | None
    dots: Sequence[Point]
    mean: Line | None


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart of a curve, or of scores.

    Args:
        kind: `curve` or `scores`, its class in the style sheet.
        alternative: alternative text.
        caption: text below the chart.
        size: width and height.
        grid: lines behind the data.
        texts: texts of the axes.
        curve: points joined by a line.
        dots: points marked by dots.
        rows: rows of scores.
    """

    kind: str
    alternative: str
    caption: str
    size: tuple[float, float]
    grid: Sequence[Line]
    texts: Sequence[ChartText]
    curve: Sequence[Point] = ()
    dots: Sequence[Point] = ()
    rows: Sequence[ScoreRow] = ()


def curve_chart(curve: Curve) -> Chart:
    """Draw a curve over the steps of a training."""
    points = downsample(curve.points)
    x_ticks = MaxNLocator(5, integer=True).tick_values(points[0][0], max(points[-1][0], points[0][0] + 1))
    values = [value for _, value in points]
    y_ticks = MaxNLocator(4).tick_values(min(values), max(values) if len(set(values)) > 1 else min(values) + 1)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    x = ChartAxis(x_ticks[0], x_ticks[-1], LEFT, right)
    y = ChartAxis(y_ticks[0], y_ticks[-1], bottom, TOP)
    line = [(x(step), y(value)) for step, value in points]
    return Chart(
        kind="curve",
        alternative=str(curve),
        caption=str(curve),
        size=(WIDTH, HEIGHT),
        grid=[Line((LEFT, y(tick)), (right, y(tick))) for tick in y_ticks],
        texts=[
            *(ChartText((LEFT - 8, y(tick) + 4), text, "end") for tick, text in tick_texts(y_ticks)),
            *(ChartText((x(tick), bottom + 18), text) for tick, text in tick_texts(x_ticks)),
            ChartText(((LEFT + right) / 2, HEIGHT - 6), curve.unit),
        ],
        curve=line,
        dots=line if len(line) <= MOST_DOTS else (),
    )


def score_chart(summaries: Sequence[Summary], dice: Mapping[int | None, Sequence[float]]) -> Chart:
    """Draw the Dice of every case as a dot in the row of its label, with their mean and its confidence interval.

    Args:
        summaries: of the labels.
        dice: Dice of the cases, by number of the label.
    """
    known = [value for values in dice.values() for value in values]
    ticks = MaxNLocator(5).tick_values(min([*known, 0.9]), 1.0)
    ticks = [tick for tick in ticks if 0 <= tick < 1.001]
    longest = max(len(summary.name) for summary in summaries)
    width, height = 460.0, ROW * len(summaries) + BOTTOM
    left, right, bottom = min(180.0, 16 + 7.0 * longest), width - RIGHT, height - BOTTOM
    x = ChartAxis(ticks[0], 1.0, left, right)
    means = [
        f"{summary.name} {summary.dice.mean:.3f}, lowest {min(dice[summary.label]):.3f}"
        for summary in summaries
        if summary.dice.mean is not None
    ]
    return Chart(
        kind="scores",
        alternative=f"Dice of each case by label. Means: {'; '.join(means)}.",
        caption="Each dot is a case; the line is their mean, the bar its 95 % confidence interval.",
        size=(width, height),
        grid=[Line((x(tick), 4), (x(tick), bottom + 4)) for tick in ticks],
        texts=[
            *(ChartText((x(tick), bottom + 20), text) for tick, text in tick_texts(ticks)),
            ChartText(((left + right) / 2, height - 4), "Dice"),
        ],
        rows=[
            score_row(summary, dice[summary.label], x, y=ROW * (row + 0.5) + 2) for row, summary in enumerate(summaries)
        ],
    )


def score_row(summary: Summary, dice: Sequence[float], x: ChartAxis, y: float) -> ScoreRow:
    """Draw the Dice of a label at the height `y`."""
    low, mean, high = summary.dice.low, summary.dice.mean, summary.dice.high
    return ScoreRow(
        name=ChartText((x.start - 10, y + 4), summary.name, "end"),
        interval=None if low is None or high is None else Line((x(low), y), (x(high), y)),
        dots=sorted({(round(x(value)), y) for value in dice}),
        mean=None if mean is None else Line((x(mean), y - 10), (x(mean), y + 10)),
    )


def tick_texts(ticks: Iterable[float]) -> list[tuple[float, str]]:
    """Return the ticks of an axis with their texts, which all have as many decimals as the longest.

    Examples:
        >>> tick_texts([0.9, 0.93, 0.96])
        [(0.9, '0.90'), (0.93, '0.93'), (0.96, '0.96')]
        >>> tick_texts([0.0, 50.0])
        [(0.0, '0'), (50.0, '50')]
    """
    known = [(float(tick), f"{tick:.4g}") for tick in ticks]
    if any("e" in text for _, text in known):
        return known
    digits = max(len(text.partition(".")[2]) for _, text in known)
    return [(tick, f"{tick:z.{digits}f}") for tick, _ in known]


class ChartAxis:
    """Maps values to positions along an axis: `low` to `start`, `high` to `end`."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high, self.start, self.end = low, high, start, end

    def __call__(self, value: float) -> float:
        return float(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start))


def downsample(points: Sequence[tuple[int, float]]) -> list[Point]:
    """Return at most `MOST_POINTS` points, each the mean of equally many neighbours."""
    size = -(-len(points) // MOST_POINTS)
    parts = [points[start : start + size] for start in range(0, len(points), size)]
    return [(fmean(step for step, _ in part), fmean(value for _, value in part)) for part in parts]
