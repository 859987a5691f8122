"""A picture of one case: image, truth and prediction in three planes, all panels in one scale of millimetres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from monai.data import MetaTensor
from monai.transforms import Orientation
from numpy.typing import NDArray
from scipy.ndimage import find_objects, zoom

from hybridseg.transforms.errors import PathLike
from hybridseg.transforms.grid import voxel_lengths
from hybridseg.transforms.io.atomic import replacing

from .planes import PLANES, Volume

Extent = tuple[float, float, float, float]
"""Left, right, bottom and top of a picture in its panel, in mm."""


COLOURS = ("#ff9f43", "#54c6eb", "#5ee08a", "#f7e463", "#ff6f91", "#a98bff", "#2ec4b6", "#d4a373", "#b8f2e6", "#e0aaff")


BACKGROUND, PANEL, TEXT, FAINT = "#0e1116", "#000000", "#e8eaed", "#8b949e"


LEFT, RIGHT, TOP, BOTTOM, GAP = 0.45, 2.3, 0.85, 0.4, 0.08
"""Margins around the panels, and the gap between them, in inches."""


LARGEST = (8.4, 8.4)
"""Width and height that the panels fill at most, in inches."""


FINER = 4
"""Outlines are drawn on masks this many times finer, interpolated linearly."""


OUTLINED = [withStroke(linewidth=2, foreground=PANEL)]
"""Text that stays legible on any grey."""


def draw_case(
    path: PathLike,
    *,
    image: MetaTensor,
    prediction: MetaTensor,
    truth: MetaTensor | None = None,
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
        truth: labels (1, X, Y, Z) on the same grid; None where the truth is not known.
        label_names: the labels to draw, and their names.
        dice: of each label; None where there is none.
        title: what is shown.
        window: intensities drawn black and white; None takes the image's 1st and 99.5th percentiles.

    Raises:
        OSError: the picture cannot be written.
    """
    orient = Orientation(axcodes="RAS", labels=None)
    spacing = voxel_lengths(cast(MetaTensor, orient(image)).affine.cpu().numpy())
    drawn = {"image": image, "truth": truth, "prediction": prediction}
    rows: dict[str, Volume] = {
        name: orient(volume)[0].cpu().numpy().astype(np.float32) for name, volume in drawn.items() if volume is not None
    }
    grey, true = rows["image"], rows.get("truth")
    low, high = window if window is not None else np.percentile(grey, (1, 99.5))
    sizes = [plane.size((spacing * grey.shape).tolist()) for plane in PLANES]
    tallest = max(height for _, height in sizes)
    scale = min(LARGEST[0] / sum(width for width, _ in sizes), LARGEST[1] / (tallest * len(rows)))  # inches per mm
    layout = Layout([width * scale for width, _ in sizes], tallest * scale, len(rows))
    figure = Figure(figsize=layout.size, facecolor=BACKGROUND)
    for column, (plane, size) in enumerate(zip(PLANES, sizes, strict=True)):
        index = best_slice(rows["prediction"] if true is None else true, plane.axis, label_names)
        for row, (name, volume) in enumerate(rows.items()):
            axes = figure.add_axes(layout.panel(row, column), facecolor=PANEL)
            extent = (0, size[0], (tallest - size[1]) / 2, (tallest + size[1]) / 2)
            draw_image(axes, plane.cut(grey, index), extent, (low, high))
            axes.set(xlim=(0, size[0]), ylim=(0, tallest))
            if name != "image":
                draw_labels(axes, plane.cut(volume, index), extent, label_names)
            if name == "prediction" and true is not None:
                draw_outlines(axes, plane.cut(true, index), extent, label_names)
            if row == 0:
                axes.set_title(plane.name, color=FAINT, fontsize=11)
                draw_sides(axes, plane.sides)
            axes.set_ylabel("" if column else name, color=TEXT, fontsize=12, labelpad=6)
    draw_scale_bar(figure.axes[0])
    layout.text(figure, LEFT, layout.size[1] - 0.3, title, TEXT, 15, weight="bold")
    note = "radiological convention: the patient's right is on the left"
    layout.text(figure, LEFT, 0.2, note if true is None else f"{note}      white outlines: truth", FAINT, 9)
    draw_legend(figure, layout, label_names, dice)
    with replacing(path, suffix=".png") as temporary:
        figure.savefig(temporary, dpi=150)


@dataclass(frozen=True)
class Layout:
    """Where the panels are, in inches: widths of the columns, one height of the rows, and the number of these."""

    widths: Sequence[float]
    height: float
    rows: int

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the figure."""
        width = LEFT + sum(self.widths) + GAP * (len(self.widths) - 1) + RIGHT
        return width, BOTTOM + self.rows * self.height + GAP * (self.rows - 1) + TOP

    def panel(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Left, bottom, width and height of a panel, as shares of the figure."""
        width, height = self.size
        left = LEFT + sum(self.widths[:column]) + GAP * column
        bottom = BOTTOM + (self.rows - 1 - row) * (self.height + GAP)
        return left / width, bottom / height, self.widths[column] / width, self.height / height

    def text(self, figure: Figure, x: float, y: float, text: str, colour: str, size: float, **style: Any) -> None:
        """Write text at a place in inches from the lower left corner."""
        figure.text(x / self.size[0], y / self.size[1], text, color=colour, fontsize=size, va="center", **style)


def best_slice(labels: Volume, axis: int, label_names: Mapping[int, str]) -> int:
    """The slice that shows most: the one with the largest sum of areas, each as a share of its label's largest."""
    shown = np.zeros(labels.shape[axis])
    others = tuple(other for other in range(3) if other != axis)
    for label, box in enumerate(find_objects(labels.astype(np.int32)), start=1):  # of many labels each is small
        if box and label in label_names:
            area = (labels[box] == label).sum(axis=others)
            shown[box[axis]] += area / area.max()
    return int(shown.argmax()) if shown.any() else labels.shape[axis] // 2


def draw_image(axes: Axes, plane: Volume, extent: Extent, window: tuple[float, float]) -> None:
    """Draw grey values in a panel without ticks."""
    axes.imshow(plane, cmap="gray", clim=window, extent=extent, origin="lower", interpolation="bicubic")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def draw_labels(
    axes: Axes, plane: Volume, extent: Extent, label_names: Mapping[int, str], opacity: float = 0.3
) -> None:
    """Fill and outline each label in its colour."""
    for colour, label in zip(colours(len(label_names)), label_names, strict=True):
        if (plane == label).any():
            x, y, mask = fine_mask(plane == label, extent)
            axes.contourf(x, y, mask, levels=[0.5, 2], colors=[colour], alpha=opacity)
            axes.contour(x, y, mask, levels=[0.5], colors=[colour], linewidths=1.6)


def draw_outlines(axes: Axes, plane: Volume, extent: Extent, label_names: Mapping[int, str]) -> None:
    """Outline each label in thin white."""
    for label in label_names:
        if (plane == label).any():
            axes.contour(*fine_mask(plane == label, extent), levels=[0.5], colors=[TEXT], linewidths=0.7)


def fine_mask(mask: NDArray[np.bool_], extent: Extent) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The box of a mask and an empty border, `FINER` times finer, after the x and y of its columns and rows in mm."""
    (height, width), (left, right, bottom, top) = mask.shape, extent
    rows, columns = find_objects(mask.astype(np.uint8))[0]
    padded = np.pad(mask[rows, columns].astype(np.float32), 1)
    fine: NDArray[Any] = np.asarray(zoom(padded, FINER, order=1, grid_mode=True, mode="nearest"))
    x = left + ((np.arange(fine.shape[1]) + 0.5) / FINER - 1 + columns.start) / width * (right - left)
    y = bottom + ((np.arange(fine.shape[0]) + 0.5) / FINER - 1 + rows.start) / height * (top - bottom)
    return x, y, fine


def draw_sides(axes: Axes, sides: str) -> None:
    """Write which side of the patient each edge of a panel is."""
    for letter, x, y in zip(sides, (0.03, 0.97, 0.5, 0.5), (0.5, 0.5, 0.05, 0.95), strict=True):
        style: dict[str, Any] = {"ha": "center", "va": "center", "transform": axes.transAxes, "path_effects": OUTLINED}
        axes.text(x, y, letter, color=TEXT, fontsize=10, **style)


def draw_scale_bar(axes: Axes) -> None:
    """Draw a bar of a round number of millimetres, about a fifth of the panel's width."""
    width = axes.get_xlim()[1]
    length = max((size for size in (1, 2, 5, 10, 20, 50, 100) if size <= width / 4), default=1)
    x, y = 0.05 * width, 0.06 * axes.get_ylim()[1]
    axes.plot([x, x + length], [y, y], color=TEXT, linewidth=2, solid_capstyle="butt", path_effects=OUTLINED)
    axes.text(x, y * 1.35, f"{length} mm", color=TEXT, fontsize=8, va="bottom", path_effects=OUTLINED)


def draw_legend(
    figure: Figure, layout: Layout, label_names: Mapping[int, str], dice: Mapping[int, float | None] | None
) -> None:
    """List the labels with their colours, and their Dice where it is known, to the right of the panels."""
    left, right = layout.size[0] - RIGHT + 0.25, layout.size[0] - 0.25
    y = layout.size[1] - TOP - 0.1
    step = min(0.32, (y - BOTTOM - 0.5) / max(1, len(label_names)))
    layout.text(figure, left, y, "label", FAINT, 10)
    if dice is not None:
        layout.text(figure, right, y, "Dice", FAINT, 10, ha="right")
    for colour, (label, name) in zip(colours(len(label_names)), label_names.items(), strict=True):
        y -= step
        layout.text(figure, left, y, "\N{BLACK SQUARE}", colour, 16)
        layout.text(figure, left + 0.24, y, name.replace("_", " "), TEXT, 11)
        if dice is not None:
            layout.text(figure, right, y, decimals(dice.get(label)), TEXT, 11, ha="right")
    if len(known := [value for value in (dice or {}).values() if value is not None]) > 1:
        layout.text(figure, left + 0.24, y - 0.42, "mean", FAINT, 11)
        layout.text(figure, right, y - 0.42, decimals(fmean(known)), FAINT, 11, ha="right")


def decimals(value: float | None) -> str:
    """A Dice as it is shown."""
    return "-" if value is None else f"{value:.3f}"


def colours(count: int) -> list[str]:
    """As many colours as labels; beyond ten they come again."""
    return [COLOURS[index % len(COLOURS)] for index in range(count)]
