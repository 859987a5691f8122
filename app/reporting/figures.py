"""The figures of a report: pictures of cases, and the curves of a training with their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hybridseg.app.figures.case import COLOURS, colours

from .charts import curve_chart
from .cohort import DrawnCase
from .curves import Curve
from .html import Cell, number, paragraph, table, text

MOST_STEPS = 50
"""Of a curve's table."""


def picture_parts(pictures: Sequence[DrawnCase], label_names: Mapping[int, str]) -> list[str]:
    """The pictures of cases under their names, after what they show."""
    if not pictures:
        return []
    truth = "Filled: the prediction, in the colour of its label. White outlines: the reference. "
    prediction = "Filled: the prediction, in the colour of its label. "
    how = truth if any(drawn.with_truth for drawn in pictures) else prediction
    if len(label_names) > len(COLOURS):
        how += f"The colours come again after {len(COLOURS)} labels. "
    parts = [paragraph(f"{how}In the order of the tables; the patient's right is on the left.", "quiet")]
    palette = dict(zip(label_names, colours(len(label_names)), strict=True))
    return parts + [picture(drawn, label_names, palette) for drawn in pictures]


def picture(drawn: DrawnCase, label_names: Mapping[int, str], palette: Mapping[int, str]) -> str:
    """The planes of a case, what they go through, and its labels with their colours and numbers."""
    what = "reference and predicted labels" if drawn.with_truth else "predicted labels"
    images = "".join(
        f'<img src="{panel.uri}" style="flex: {panel.size[0]:.1f} 1 0" width="{panel.size[0]:.0f}" '
        f'height="{panel.size[1]:.0f}" alt="{text(f"{drawn.case}, {panel.plane} plane with {what}")}">'
        for panel in drawn.panels
    )
    chips = "".join(
        f'<li><i style="background: {palette[label]}"></i>{text(name)} {text(drawn.told.get(label, ""))}</li>'
        for label, name in label_names.items()
        if label in drawn.told or not drawn.told
    )
    planes = ", ".join(panel.plane for panel in drawn.panels)
    return (
        f'<figure>\n<h3>{text(drawn.case)}</h3>\n<div class="planes">{images}</div>\n<ul class="legend">{chips}</ul>\n'
        f"<figcaption>{text(f'{planes.capitalize()}, each through {drawn.through}.')}</figcaption>\n</figure>"
    )


def training_parts(curves: Sequence[Curve]) -> list[str]:
    """A chart of each curve, in words, and its numbers in a table to be opened."""
    if not curves:
        return []
    return [f'<div class="charts">{"".join(map(curve_figure, curves))}</div>']


def curve_figure(curve: Curve) -> str:
    """A curve with what it says and its numbers."""
    every = -(-len(curve.points) // MOST_STEPS)
    chosen = dict.fromkeys([*curve.points[::every], curve.points[-1]])
    rows = [[Cell(str(step), step), number(value, 4)] for step, value in chosen]
    numbers = table(f"{curve.name} by {curve.unit}", [curve.unit.capitalize(), curve.name], rows)
    return (
        f"<figure><h3>{text(curve.name)}</h3>{curve_chart(curve)}<figcaption>{text(str(curve))}</figcaption>"
        f"<details><summary>Numbers of {text(curve.name)}</summary>{numbers}</details></figure>"
    )
