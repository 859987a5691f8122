"""A picture of one case: image, reference and prediction in three planes, all panels in one scale of millimetres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, cast

import numpy as np
from matplotlib.figure import Figure
from monai.data import MetaTensor
from monai.transforms import Orientation

from hybridseg.app.runtime.console import printable
from hybridseg.transforms.errors import PathLike
from hybridseg.transforms.grid import voxel_lengths
from hybridseg.transforms.io.atomic import replacing
from hybridseg.transforms.structures import label_colours

from .panels import (
    BACKGROUND,
    FAINT,
    PANEL,
    TEXT,
    best_slice,
    draw_image,
    draw_labels,
    draw_outlines,
    draw_scale_bar,
    draw_sides,
    grey_window,
)
from .planes import PLANES, Volume

LEFT, RIGHT, TOP, BOTTOM, GAP = 0.45, 2.3, 0.85, 0.4, 0.08
"""Margins around the panels, and the gap between them, in inches."""
LARGEST = (8.4, 8.4)
"""Width and height that the panels fill at most, in inches."""


def draw_case(
    path: PathLike,
    *,
    image: MetaTensor,
    prediction: MetaTensor,
    reference: MetaTensor | None = None,
    label_names: Mapping[int, str],
    dice: Mapping[int, float | None] | None = None,
    title: str = "",
    window: tuple[float, float] | None = None,
) -> None:
    """Draw a case and save it as PNG.

    Args:
        path: of the picture.
        image: (1, X, Y, Z); its affine says where right, anterior and superior are.
        prediction: labels (1, X, Y, Z) on the same grid.
        reference: reference labels (1, X, Y, Z) on the same grid; None without a reference.
        label_names: the labels to draw, and their names.
        dice: of each label, shown in the legend; None shows no column of Dice.
        title: heading of the picture.
        window: intensities drawn black and white; None takes the image's 1st and 99.5th percentiles.

    Raises:
        OSError: the picture cannot be written.
    """
    orient = Orientation(axcodes="RAS", labels=None)
    spacing = voxel_lengths(cast(MetaTensor, orient(image)).affine.cpu().numpy())
    given = {"image": image, "reference": reference, "prediction": prediction}
    rows: dict[str, Volume] = {
        name: orient(volume)[0].cpu().numpy().astype(np.float32) for name, volume in given.items() if volume is not None
    }
    grey, outlined = rows["image"], rows.get("reference")
    window = grey_window(grey, window)
    sizes = [plane.size((spacing * grey.shape).tolist()) for plane in PLANES]
    layout = Layout.fit(sizes, len(rows))
    figure = Figure(figsize=layout.size, facecolor=BACKGROUND)
    tallest = max(height for _, height in sizes)
    for column, (plane, (width, height)) in enumerate(zip(PLANES, sizes, strict=True)):
        index = best_slice(rows["prediction"] if outlined is None else outlined, plane.axis, label_names)
        extent = (0, width, (tallest - height) / 2, (tallest + height) / 2)
        for row, (name, volume) in enumerate(rows.items()):
            axes = figure.add_axes(layout.panel(row, column), facecolor=PANEL)
            draw_image(axes, plane.cut(grey, index), extent, window)
            axes.set(xlim=(0, width), ylim=(0, tallest))
            if name != "image":
                draw_labels(axes, plane.cut(volume, index), extent, label_names)
            if name == "prediction" and outlined is not None:
                draw_outlines(axes, plane.cut(outlined, index), extent, label_names)
            if row == 0:
                axes.set_title(plane.name, color=FAINT, fontsize=11)
                draw_sides(axes, plane.sides)
            axes.set_ylabel("" if column else name, color=TEXT, fontsize=12, labelpad=6)
    draw_scale_bar(figure.axes[0])
    layout.text(figure, LEFT, layout.size[1] - 0.3, title, TEXT, 15, weight="bold")
    note = "radiological convention: the patient's right is on the left"
    layout.text(figure, LEFT, 0.2, note if outlined is None else f"{note}      white outlines: reference", FAINT, 9)
    draw_legend(figure, layout, label_names, dice)
    with replacing(path, suffix=".png") as temporary:
        figure.savefig(temporary, dpi=150)


@dataclass(frozen=True)
class Layout:
    """The grid of panels, in inches: the width of each column, the height of every row, and the number of rows."""

    widths: Sequence[float]
    height: float
    rows: int

    @classmethod
    def fit(cls, sizes: Sequence[tuple[float, float]], rows: int) -> Layout:
        """Return the largest layout within `LARGEST`, given the width and height of each column's plane in mm."""
        total, tallest = sum(width for width, _ in sizes), max(height for _, height in sizes)
        scale = min(LARGEST[0] / total, LARGEST[1] / (tallest * rows))  # inches per mm
        return cls([width * scale for width, _ in sizes], tallest * scale, rows)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the figure."""
        width = LEFT + sum(self.widths) + GAP * (len(self.widths) - 1) + RIGHT
        return width, BOTTOM + self.rows * self.height + GAP * (self.rows - 1) + TOP

    def panel(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Return left, bottom, width and height of a panel, as shares of the figure."""
        width, height = self.size
        left = LEFT + sum(self.widths[:column]) + GAP * column
        bottom = BOTTOM + (self.rows - 1 - row) * (self.height + GAP)
        return left / width, bottom / height, self.widths[column] / width, self.height / height

    def text(self, figure: Figure, x: float, y: float, text: str, colour: str, size: float, **style: Any) -> None:
        """Write text at a place in inches from the lower left corner."""
        place = x / self.size[0], y / self.size[1]
        text = printable(text)  # names of files may have what no font has, and `$`, with which formulas begin
        figure.text(*place, text, color=colour, fontsize=size, va="center", parse_math=False, **style)


def draw_legend(
    figure: Figure, layout: Layout, label_names: Mapping[int, str], dice: Mapping[int, float | None] | None
) -> None:
    """List the labels with their colours, and their Dice if given, to the right of the panels."""
    left, right = layout.size[0] - RIGHT + 0.25, layout.size[0] - 0.25
    y = layout.size[1] - TOP - 0.1
    step = min(0.32, (y - BOTTOM - 0.5) / max(1, len(label_names)))
    layout.text(figure, left, y, "label", FAINT, 10)
    if dice is not None:
        layout.text(figure, right, y, "Dice", FAINT, 10, ha="right")
    for colour, (label, name) in zip(label_colours(label_names.values()), label_names.items(), strict=True):
        y -= step
        layout.text(figure, left, y, "\N{BLACK SQUARE}", colour, 16)
        layout.text(figure, left + 0.24, y, name.replace("_", " "), TEXT, 11)
        if dice is not None:
            layout.text(figure, right, y, decimals(dice.get(label)), TEXT, 11, ha="right")
    if len(known := [value for value in (dice or {}).values() if value is not None]) > 1:
        layout.text(figure, left + 0.24, y - 0.42, "mean", FAINT, 11)
        layout.text(figure, right, y - 0.42, decimals(fmean(known)), FAINT, 11, ha="right")


def decimals(dice: float | None) -> str:
    """Format a Dice for the legend."""
    return "-" if dice is None else f"{dice:.3f}"
