"""One panel of a picture: a plane of an image in grey, with labels, outlines, sides and a scale bar on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from scipy.ndimage import find_objects, zoom

from hybridseg.transforms.structures import label_colours

from .planes import PLANES, Plane, Volume

Extent = tuple[float, float, float, float]
"""Left, right, bottom and top of a plane in its panel, in mm."""

BACKGROUND, PANEL, TEXT, FAINT = "#0e1116", "#000000", "#e8eaed", "#8b949e"

OPACITY = 0.3
"""Opacity of filled labels."""
FINER = 4
"""Outlines are drawn on masks this many times finer, interpolated linearly."""
OUTLINED = [withStroke(linewidth=2, foreground=PANEL)]
"""Path effect of text and lines that stay legible on any grey."""


def grey_window(image: Volume, window: tuple[float, float] | None = None) -> tuple[float, float]:
    """Return the intensities drawn black and white: the window if given, else the 1st and 99.5th percentiles."""
    low, high = window if window is not None else np.percentile(image, (1, 99.5)).tolist()
    return low, high


def best_slice(labels: Volume, axis: int, label_names: Mapping[int, str]) -> int:
    """Return the slice with the largest sum of areas, each as a share of its label's largest; the middle one if none.

    Args:
        labels: (X, Y, Z).
        axis: the axis across the slices.
        label_names: the labels that count.
    """
    shown = np.zeros(labels.shape[axis])
    others = tuple(other for other in range(3) if other != axis)
    for label, box in enumerate(find_objects(labels.astype(np.int32)), start=1):  # fast: boxes of labels are small
        if box and label in label_names:
            area = (labels[box] == label).sum(axis=others)
            shown[box[axis]] += area / area.max()
    return int(shown.argmax()) if shown.any() else labels.shape[axis] // 2


def draw_panel(
    axes: Axes,
    plane: Plane,
    *,
    size: tuple[float, float],
    image: Volume,
    window: tuple[float, float],
    labels: Volume | None = None,
    reference: Volume | None = None,
    label_names: Mapping[int, str],
    opacity: float = OPACITY,
) -> None:
    """Draw a slice that fills its panel, with the patient's sides and, in the first plane, a scale bar.

    Args:
        axes: the panel.
        plane: the plane of the slice.
        size: width and height of the plane in mm.
        image: slice (rows, columns) as `Plane.cut` returns it.
        window: intensities drawn black and white.
        labels: slice of the labels, filled in their colours; None draws none.
        reference: slice of the reference, outlined in white; None draws none.
        label_names: the labels to draw.
        opacity: of the filled labels, 0 to 1.
    """
    width, height = size
    extent = (0.0, width, 0.0, height)
    draw_image(axes, image, extent, window)
    axes.set(xlim=(0, width), ylim=(0, height))
    if labels is not None:
        draw_labels(axes, labels, extent, label_names, opacity)
    if reference is not None:
        draw_outlines(axes, reference, extent, label_names)
    draw_sides(axes, plane.sides)
    if plane is PLANES[0]:
        draw_scale_bar(axes)


def draw_image(axes: Axes, image: Volume, extent: Extent, window: tuple[float, float]) -> None:
    """Draw grey values in a panel without ticks."""
    axes.imshow(image, cmap="gray", clim=window, extent=extent, origin="lower", interpolation="bicubic")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def draw_labels(
    axes: Axes, labels: Volume, extent: Extent, label_names: Mapping[int, str], opacity: float = OPACITY
) -> None:
    """Fill and outline each label in its colour."""
    for colour, label in zip(label_colours(label_names.values()), label_names, strict=True):
        if (labels == label).any():
            x, y, mask = fine_mask(labels == label, extent)
            axes.contourf(x, y, mask, levels=[0.5, 2], colors=[colour], alpha=opacity)
            axes.contour(x, y, mask, levels=[0.5], colors=[colour], linewidths=1.6)


def draw_outlines(axes: Axes, labels: Volume, extent: Extent, label_names: Mapping[int, str]) -> None:
    """Outline each label in thin white."""
    for label in label_names:
        if (labels == label).any():
            axes.contour(*fine_mask(labels == label, extent), levels=[0.5], colors=[TEXT], linewidths=0.7)


def fine_mask(mask: NDArray[np.bool_], extent: Extent) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Crop a mask to its box with an empty border, and make it `FINER` times finer.

    Returns:
        The x of its columns and the y of its rows in mm, and the mask.
    """
    (height, width), (left, right, bottom, top) = mask.shape, extent
    rows, columns = find_objects(mask.astype(np.uint8))[0]
    padded = np.pad(mask[rows, columns].astype(np.float32), 1)
    fine: NDArray[Any] = np.asarray(zoom(padded, FINER, order=1, grid_mode=True, mode="nearest"))
    x = left + ((np.arange(fine.shape[1]) + 0.5) / FINER - 1 + columns.start) / width * (right - left)
    y = bottom + ((np.arange(fine.shape[0]) + 0.5) / FINER - 1 + rows.start) / height * (top - bottom)
    return x, y, fine


def draw_sides(axes: Axes, sides: str) -> None:
    """Write the side of the patient at each edge of a panel."""
    for letter, x, y in zip(sides, (0.03, 0.97, 0.5, 0.5), (0.5, 0.5, 0.05, 0.95), strict=True):
        style: dict[str, Any] = {"ha": "center", "va": "center", "transform": axes.transAxes, "path_effects": OUTLINED}
        axes.text(x, y, letter, color=TEXT, fontsize=10, **style)


def draw_scale_bar(axes: Axes) -> None:
    """Draw a bar of a round number of millimetres, at most a quarter of the panel's width."""
    width = axes.get_xlim()[1]
    length = max((size for size in (1, 2, 5, 10, 20, 50, 100) if size <= width / 4), default=1)
    x, y = 0.05 * width, 0.06 * axes.get_ylim()[1]
    axes.plot([x, x + length], [y, y], color=TEXT, linewidth=2, solid_capstyle="butt", path_effects=OUTLINED)
    axes.text(x, y * 1.35, f"{length} mm", color=TEXT, fontsize=8, va="bottom", path_effects=OUTLINED)
