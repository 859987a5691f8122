"""Maps from inside of a network, laid over the slice of an image, all in one logarithmic scale of colours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from monai.data import MetaTensor
from nibabel.orientations import aff2axcodes
from torch import Tensor

from hybridseg.transforms.grid import voxel_lengths

from .case import BACKGROUND, FAINT, OUTLINED, TEXT, Extent, Volume, draw_image, draw_scale_bar, draw_sides
from .planes import PLANES, Plane

WIDTH = 9.0
"""Of the figure, in inches."""
COLOURS = "inferno"
OPACITY = 0.65
BORDER = 0.8
"""Width of the lines between windows, in points."""


def draw_maps(
    image: MetaTensor,
    maps: Mapping[str, Tensor],
    voxel: Sequence[int],
    *,
    stride: Sequence[int] = (1, 1, 1),
    borders: Mapping[str, Tensor] | None = None,
    plane: str = "coronal",
    through: bool = False,
    columns: int = 3,
    lowest: float = 1e-4,
    name: str = "",
    window: tuple[float, float] | None = None,
) -> Figure:
    """Draw one slice of each map over the image, in blocks of the map's own voxels; what is 0 shows the image.

    Args:
        image: (1, X, Y, Z), with axes to the right, anterior and superior, as `Predictor.prepare` gives it.
        maps: what to draw, by title: (X / s, Y / s, Z / s), rounded up, for the stride s.
        voxel: of the image, through which the slice goes; a cross marks it.
        stride: voxels of the image to one of a map along each axis.
        borders: for a title, numbers on the map's grid, such as those of windows, between which lines are drawn.
        plane: `axial`, `coronal` or `sagittal`.
        through: draw the sum of a map through all slices, in place of its values in the one.
        columns: panels side by side.
        lowest: value at the lower end of the colours, and below it; at the upper end stands 1.
        name: of the values, beside the colours.
        window: intensities drawn black and white; None takes the image's 1st and 99.5th percentiles.

    Returns:
        The figure. The patient's right is on the left.

    Raises:
        ValueError: the plane is unknown, the image's axes lie otherwise, the voxel is outside of it, or there is no map
            or one of another shape.
    """
    planes = {known.name: known for known in PLANES}
    if plane not in planes:
        raise ValueError(f"plane: {plane!r}: must be one of {', '.join(planes)}")
    affine = image.affine.cpu().numpy()
    if (axes := "".join(map(str, aff2axcodes(affine)))) != "RAS":
        raise ValueError(f"image: axes {axes}: must be RAS")
    cut, grey = planes[plane], image[0].cpu().numpy().astype(np.float32)
    if not all(0 <= at < length for at, length in zip(voxel, grey.shape, strict=True)):
        raise ValueError(f"voxel: {tuple(voxel)}: must lie within the image of {grey.shape} voxels")
    if not maps:
        raise ValueError("maps: none: at least one is needed")
    coarse = tuple(-(-length // step) for length, step in zip(grey.shape, stride, strict=True))
    for title, values in maps.items():
        if tuple(values.shape) != coarse:
            raise ValueError(f"maps: {title}: shape {tuple(values.shape)}: must be {coarse}")
    low, high = window if window is not None else np.percentile(grey, (1, 99.5)).tolist()
    width, height = cut.size((voxel_lengths(affine) * grey.shape).tolist())
    rows, columns = math.ceil(len(maps) / columns), min(columns, len(maps))
    panel = 0.86 * WIDTH / columns
    figure = Figure(figsize=(WIDTH, rows * (panel * height / width + 0.35)), facecolor=BACKGROUND, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    norm = LogNorm(lowest, 1, clip=True)
    for axes, (title, values) in zip(panels, maps.items(), strict=False):
        extent = (0.0, width, 0.0, height)
        draw_image(axes, cut.cut(grey, voxel[cut.axis]), extent, (low, high))
        values = values.sum(cut.axis, keepdim=True).expand_as(values) if through else values
        drawn = cut.cut(on_image(values, stride, grey.shape), voxel[cut.axis])
        shown = np.ma.masked_equal(drawn, 0)
        axes.imshow(shown, cmap=COLOURS, norm=norm, extent=extent, origin="lower", alpha=OPACITY, interpolation="none")
        if borders is not None and title in borders:
            draw_borders(axes, cut.cut(on_image(borders[title], stride, grey.shape), voxel[cut.axis]), extent)
        mark(axes, cut, voxel, grey.shape, extent)
        axes.set(xlim=(0, width), ylim=(0, height))
        axes.set_title(title, color=TEXT, fontsize=10)
    draw_sides(panels[0], cut.sides)
    draw_scale_bar(panels[0])
    for axes in panels[len(maps) :]:
        axes.remove()
    bar = figure.colorbar(ScalarMappable(norm, COLOURS), ax=panels[: len(maps)].tolist(), shrink=0.9, aspect=30)
    bar.set_label(name, color=FAINT)
    bar.ax.tick_params(colors=FAINT)
    return figure


def on_image(values: Tensor, stride: Sequence[int], shape: Sequence[int]) -> Volume:
    """A map with each of its voxels repeated over the `stride` of those of the image that it stands for."""
    fine = values.cpu().numpy()
    for axis, (step, length) in enumerate(zip(stride, shape, strict=True)):
        fine = np.take(fine, np.arange(length) // step, axis)
    return fine


def draw_borders(axes: Axes, numbers: Volume, extent: Extent) -> None:
    """Draw lines where a number meets another."""
    (height, width), (_, right, _, top) = numbers.shape, extent
    for row, column in np.argwhere(np.diff(numbers, axis=0)):
        at = (row + 1) / height * top
        axes.plot([column / width * right, (column + 1) / width * right], [at, at], color=TEXT, linewidth=BORDER)
    for row, column in np.argwhere(np.diff(numbers, axis=1)):
        at = (column + 1) / width * right
        axes.plot([at, at], [row / height * top, (row + 1) / height * top], color=TEXT, linewidth=BORDER)


def mark(axes: Axes, plane: Plane, voxel: Sequence[int], shape: Sequence[int], extent: Extent) -> None:
    """Draw a cross at a voxel."""
    across, up = ((voxel[axis] + 0.5) / shape[axis] for axis in plane.axes)
    axes.plot(
        (1 - across) * extent[1],
        up * extent[3],
        "+",
        color=TEXT,
        markersize=10,
        markeredgewidth=1.5,
        path_effects=OUTLINED,
    )
