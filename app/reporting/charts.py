"""Charts as inline SVG, which take their colours from the page and carry their text alternative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.ticker import MaxNLocator

from hybridseg.app.evaluation.summary import Summary

from .curves import Curve
from .html import text

WIDTH, HEIGHT = 420.0, 230.0
"""Of a curve, in units of the picture."""
LEFT, RIGHT, TOP, BOTTOM = 52.0, 14.0, 14.0, 40.0
"""Margins around the axes."""
MOST_POINTS = 300
"""Of a curve; of more, neighbours are averaged."""
ROW = 30.0
"""Height of a label in the chart of scores."""


def curve_chart(curve: Curve) -> str:
    """A curve over the steps of a training."""
    points = thinned(curve.points)
    x_ticks = MaxNLocator(5, integer=True).tick_values(points[0][0], max(points[-1][0], points[0][0] + 1))
    values = [value for _, value in points]
    y_ticks = MaxNLocator(4).tick_values(min(values), max(values) if len(set(values)) > 1 else min(values) + 1)
    across = ChartAxis(x_ticks[0], x_ticks[-1], LEFT, WIDTH - RIGHT)
    up = ChartAxis(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)
    parts = [grid_line(LEFT, up(tick), WIDTH - RIGHT, up(tick)) for tick in y_ticks]
    parts += [label(LEFT - 8, up(tick) + 4, f"{tick:.4g}", "end") for tick in y_ticks]
    parts += [label(across(tick), HEIGHT - BOTTOM + 18, f"{tick:.4g}") for tick in x_ticks]
    parts.append(label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, curve.unit))
    line = " ".join(f"{across(step):.1f},{up(value):.1f}" for step, value in points)
    parts.append(f'<polyline class="line" points="{line}"/>')
    if len(points) <= 40:
        parts.append(dots([(across(step), up(value)) for step, value in points]))
    return svg(str(curve), WIDTH, HEIGHT, parts)


def score_chart(summaries: Sequence[Summary], dice: Mapping[int | None, Sequence[float]]) -> str:
    """The Dice of every case as a dot, in a row for each label; the mean as a line, its interval as a bar.

    Args:
        summaries: of the labels.
        dice: of the cases, by the number of the label.
    """
    known = [value for values in dice.values() for value in values]
    ticks = MaxNLocator(5).tick_values(min([*known, 0.9]), 1.0)
    ticks = [tick for tick in ticks if 0 <= tick < 1.001]
    longest = max(len(summary.name) for summary in summaries)
    width, left = 460.0, min(180.0, 16 + 7.0 * longest)
    height = ROW * len(summaries) + BOTTOM
    across = ChartAxis(ticks[0], 1.0, left, width - RIGHT)
    parts = [grid_line(across(tick), 4, across(tick), height - BOTTOM + 4) for tick in ticks]
    parts += [label(across(tick), height - BOTTOM + 20, f"{tick:.4g}") for tick in ticks]
    parts.append(label((left + width - RIGHT) / 2, height - 4, "Dice"))
    for row, summary in enumerate(summaries):
        y = ROW * (row + 0.5) + 2
        parts.append(label(left - 10, y + 4, summary.name, "end"))
        if summary.dice.low is not None and summary.dice.high is not None:
            parts.append(f'<line class="interval" x1="{across(summary.dice.low):.1f}" y1="{y}" ')
            parts[-1] += f'x2="{across(summary.dice.high):.1f}" y2="{y}"/>'
        parts.append(dots(sorted({(round(across(value)), y) for value in dice[summary.label]})))
        if summary.dice.mean is not None:
            x = across(summary.dice.mean)
            parts.append(f'<line class="mean" x1="{x:.1f}" y1="{y - 10}" x2="{x:.1f}" y2="{y + 10}"/>')
    told = [
        f"{summary.name} {summary.dice.mean:.3f}, lowest {min(dice[summary.label]):.3f}"
        for summary in summaries
        if summary.dice.mean is not None
    ]
    return svg(f"Dice of each case by label. Means: {'; '.join(told)}.", width, height, parts, kind="scores")


class ChartAxis:
    """Takes values to places along an axis: `low` to `start`, `high` to `end`."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high, self.start, self.end = low, high, start, end

    def __call__(self, value: float) -> float:
        return float(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start))


def thinned(points: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    """At most `MOST_POINTS` points, the means of as many neighbours each."""
    size = -(-len(points) // MOST_POINTS)
    parts = [points[start : start + size] for start in range(0, len(points), size)]
    return [(fmean(step for step, _ in part), fmean(value for _, value in part)) for part in parts]


def dots(places: Sequence[tuple[float, float]]) -> str:
    """Dots as one path of lines without length, which round ends make visible."""
    return f'<path class="dots" d="{" ".join(f"M{x:.1f} {y:.1f}h0" for x, y in places)}"/>' if places else ""


def grid_line(x1: float, y1: float, x2: float, y2: float) -> str:
    """A faint line behind a chart."""
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def label(x: float, y: float, words: str, anchor: str = "middle") -> str:
    """Words in a chart."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text(words)}</text>'


def svg(alternative: str, width: float, height: float, parts: Sequence[str], kind: str = "curve") -> str:
    """A chart with what it says in words."""
    inside = "".join(part for part in parts if part)
    frame = f'class="{kind}" role="img" viewBox="0 0 {width:g} {height:g}"'
    return f'<svg {frame} aria-label="{text(alternative)}">{inside}</svg>'
