"""The pictures of a report with their alternative texts, legends and captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybridseg.transforms.structures import label_colours

from .cohort import DrawnCase


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture of a plane.

    Args:
        uri: the picture, as a data URI.
        width: in mm.
        height: in mm.
        alternative: alternative text.
    """

    uri: str
    width: float
    height: float
    alternative: str


@dataclass(frozen=True, kw_only=True)
class LegendEntry:
    """A label's colour, its name, and its Dice or volume, which may be empty."""

    colour: str
    name: str
    value: str


@dataclass(frozen=True, kw_only=True)
class CaseFigure:
    """The pictures of a case side by side, with a legend and a caption."""

    name: str
    pictures: Sequence[Picture]
    legend: Sequence[LegendEntry]
    caption: str


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The pictures of cases, below a note on how to read them."""

    note: str
    cases: Sequence[CaseFigure]


def picture_section(drawn: Sequence[DrawnCase], label_names: Mapping[int, str]) -> Gallery | None:
    """Lay out the pictures of cases; None where there are none.

    Args:
        drawn: the cases.
        label_names: of the labels drawn.
    """
    if not drawn:
        return None
    notes = ["Filled: the prediction, in the colour of its label."]
    if any(case.with_reference for case in drawn):
        notes.append("White outlines: the reference.")
    if len(set(label_colours(label_names.values()))) < len(label_names):
        notes.append("Some labels share a colour.")
    notes.append("Cases are in the order of the tables; the patient's right is on the left.")
    return Gallery(note=" ".join(notes), cases=[case_figure(case, label_names) for case in drawn])


def case_figure(drawn: DrawnCase, label_names: Mapping[int, str]) -> CaseFigure:
    """Lay out the pictures of a case; the legend lists the labels found, or all labels if none has a value."""
    what = "reference and predicted labels" if drawn.with_reference else "predicted labels"
    pictures = [
        Picture(
            uri=panel.uri,
            width=panel.size[0],
            height=panel.size[1],
            alternative=f"{drawn.case}, {panel.plane} plane with {what}",
        )
        for panel in drawn.panels
    ]
    legend = [
        LegendEntry(colour=colour, name=name, value=drawn.values.get(label, ""))
        for colour, (label, name) in zip(label_colours(label_names.values()), label_names.items(), strict=True)
        if label in drawn.values or not drawn.values
    ]
    planes = ", ".join(panel.plane for panel in drawn.panels)
    caption = f"{planes.capitalize()}, each through {drawn.through}."
    return CaseFigure(name=drawn.case, pictures=pictures, legend=legend, caption=caption)
