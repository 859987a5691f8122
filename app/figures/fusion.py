"""Two images of one patient in one picture: one in grey, such as CT, and one in colour over it, such as PET."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from monai.data import MetaTensor

from hybridseg.transforms.grid import voxel_lengths
from hybridseg.transforms.structures import label_colours

from .panels import (
    BACKGROUND,
    FAINT,
    OUTLINED,
    PANEL,
    TEXT,
    best_slice,
    draw_image,
    draw_scale_bar,
    draw_sides,
    fine_mask,
)
from .planes import PLANES, Volume
from .volumes import reorient

WIDTH, HEIGHT = 9.0, 4.0
"""Largest width and height of the three planes side by side, in inches."""
TOP, RIGHT, GAP = 0.3, 0.9, 0.06
"""Margins for the titles and the colour bar, and the gap between planes, in inches."""
COLOURS = "hot"
OPACITY = 0.75
"""Opacity of the highest value; that of others is their share of it, so that zero leaves the grey image visible."""


def draw_fusion(
    image: MetaTensor,
    overlay: MetaTensor,
    *,
    labels: MetaTensor | None = None,
    label_names: Mapping[int, str] | None = None,
    window: tuple[float, float],
    highest: float,
    name: str = "",
    opacity: float = OPACITY,
) -> Figure:
    """Draw an image in grey, another in colour over it, and the outlines of labels, in three planes.

    The planes go through the slices with most voxels of the labels, or else through the middle.

    Args:
        image: (1, X, Y, Z); its affine says where right, anterior and superior are.
        overlay: (1, X, Y, Z) on the same grid, with values from 0.
        labels: (1, X, Y, Z) on the same grid; None draws no outlines.
        label_names: the labels to outline, and their names; None outlines none.
        window: intensities of the image drawn black and white.
        highest: value of the overlay at the upper end of the colour scale, which begins at 0.
        name: name of the values of the overlay, beside the colour scale.
        opacity: of the highest value of the overlay, 0 to 1.

    Returns:
        The figure. The patient's right is on the left.

    Raises:
        ValueError: a volume of several channels or on another grid, or `highest` is not above 0.
    """
    if highest <= 0:
        raise ValueError(f"highest: {highest}: must be above 0")
    given = {"image": image, "overlay": overlay, "labels": labels}
    arrays: dict[str, Volume] = {
        key: reorient(key, volume, image)[0].cpu().numpy() for key, volume in given.items() if volume is not None
    }
    grey, names = arrays["image"], dict(label_names or {})
    outlined: Volume = arrays.get("labels", np.zeros(grey.shape, np.uint8))
    lengths = (voxel_lengths(reorient("image", image).affine.cpu().numpy()) * grey.shape).tolist()
    sizes = [plane.size(lengths) for plane in PLANES]
    tallest = max(height for _, height in sizes)
    scale = min(WIDTH / sum(width for width, _ in sizes), HEIGHT / tallest)  # inches per mm
    across = sum(width for width, _ in sizes) * scale + GAP * len(sizes) + RIGHT
    up = tallest * scale + TOP
    figure = Figure(figsize=(across, up), facecolor=BACKGROUND)
    norm, left = Normalize(0, highest, clip=True), 0.0
    for plane, (width, height) in zip(PLANES, sizes, strict=True):
        axes = figure.add_axes((left / across, 0, width * scale / across, tallest * scale / up), facecolor=PANEL)
        left += width * scale + GAP
        index = best_slice(outlined, plane.axis, names)
        extent = (0.0, width, (tallest - height) / 2, (tallest + height) / 2)
        draw_image(axes, plane.cut(grey, index), extent, window)
        values = plane.cut(arrays["overlay"], index)
        shares = norm(values).filled(0) * opacity
        axes.imshow(values, cmap=COLOURS, norm=norm, alpha=shares, extent=extent, origin="lower", interpolation="none")
        axes.set(xlim=(0, width), ylim=(0, tallest))
        for colour, label in zip(label_colours(names.values()), names, strict=True):
            mask = plane.cut(outlined, index) == label
            if mask.any():
                axes.contour(*fine_mask(mask, extent), levels=[0.5], colors=[colour], linewidths=1.4)
        axes.set_title(plane.name, color=FAINT, fontsize=10)
        draw_sides(axes, plane.sides)
    draw_scale_bar(figure.axes[0])
    draw_names(figure.axes[0], names)
    bar = figure.add_axes(((left + 0.1) / across, 0.1 / up, 0.15 / across, (up - TOP - 0.2) / up))
    figure.colorbar(ScalarMappable(norm, COLOURS), cax=bar).set_label(name, color=TEXT)
    bar.tick_params(colors=FAINT)
    return figure


def draw_names(axes: Axes, label_names: Mapping[int, str]) -> None:
    """List the names of labels in their colours in a corner of a panel."""
    for row, (colour, name) in enumerate(zip(label_colours(label_names.values()), label_names.values(), strict=True)):
        style: dict[str, Any] = {"va": "top", "transform": axes.transAxes, "path_effects": OUTLINED}
        axes.text(0.03, 0.97 - 0.06 * row, name.replace("_", " "), color=colour, fontsize=9, **style)
