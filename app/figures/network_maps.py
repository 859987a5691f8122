"""Maps from inside a network, laid over a slice of an image, on one logarithmic colour scale."""

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

from .panels import (
    BACKGROUND,
    FAINT,
    OUTLINED,
    TEXT,
    Extent,
    draw_image,
    draw_scale_bar,
    draw_sides,
    grey_window,
)
from .planes import PLANES, Plane, Volume

WIDTH = 9.0
"""Width of the figure, in inches."""
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
    """Draw one slice of each map over the image, in blocks of the map's own voxels; zeros are transparent.

    Args:
        image: (1, X, Y, Z), with axes to the right, anterior and superior, as `Predictor.prepare` returns it.
        maps: (X / s, Y / s, Z / s) by title, rounded up, for the stride s.
        voxel: voxel of the image through which the slice goes; a cross marks it.
        stride: voxels of the image per voxel of a map, along each axis.
        borders: by title, numbers on the map's grid, such as those of windows; lines are drawn where they change.
        plane: `axial`, `coronal` or `sagittal`.
        through: draw the sum of a map over all slices instead of one slice.
        columns: panels side by side.
        lowest: value at the lower end of the colour scale; the upper end is 1.
        name: name of the values, beside the colour scale.
        window: intensities drawn black and white; None takes the image's 1st and 99.5th percentiles.

    Returns:
        The figure. The patient's right is on the left.

    Raises:
        ValueError: an unknown plane, an image with other axes, a voxel outside it, no map, or a map of another shape.
    """
    cut, grey = find_plane(plane), image[0].cpu().numpy().astype(np.float32)
    check_maps(image, maps, voxel, stride)
    index, window = voxel[cut.axis], grey_window(grey, window)
    width, height = cut.size((voxel_lengths(image.affine.cpu().numpy()) * grey.shape).tolist())
    extent = (0.0, width, 0.0, height)
    rows, columns = math.ceil(len(maps) / columns), min(columns, len(maps))
    panel = 0.86 * WIDTH / columns
    figure = Figure(figsize=(WIDTH, rows * (panel * height / width + 0.35)), facecolor=BACKGROUND, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    norm = LogNorm(lowest, 1, clip=True)
    for axes, (title, values) in zip(panels, maps.items(), strict=False):
        draw_image(axes, cut.cut(grey, index), extent, window)
        values = values.sum(cut.axis, keepdim=True).expand_as(values) if through else values
        shown = np.ma.masked_equal(cut.cut(on_image(values, stride, grey.shape), index), 0)
        axes.imshow(shown, cmap=COLOURS, norm=norm, extent=extent, origin="lower", alpha=OPACITY, interpolation="none")
        if borders is not None and title in borders:
            draw_borders(axes, cut.cut(on_image(borders[title], stride, grey.shape), index), extent)
        draw_cross(axes, cut, voxel, grey.shape, extent)
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


def find_plane(name: str) -> Plane:
    """Return the plane of a name.

    Raises:
        ValueError: no plane has this name.
    """
    planes = {plane.name: plane for plane in PLANES}
    if name not in planes:
        raise ValueError(f"plane: {name!r}: must be one of {', '.join(planes)}")
    return planes[name]


def check_maps(image: MetaTensor, maps: Mapping[str, Tensor], voxel: Sequence[int], stride: Sequence[int]) -> None:
    """Check that the maps and the voxel match the image.

    Raises:
        ValueError: they do not.
    """
    shape = tuple(image.shape[1:])
    if (axes := "".join(map(str, aff2axcodes(image.affine.cpu().numpy())))) != "RAS":
        raise ValueError(f"image: axes {axes}: must be RAS")
    if not all(0 <= at < length for at, length in zip(voxel, shape, strict=True)):
        raise ValueError(f"voxel: {tuple(voxel)}: must lie within the image of {shape} voxels")
    if not maps:
        raise ValueError("maps: none: at least one is needed")
    coarse = tuple(-(-length // step) for length, step in zip(shape, stride, strict=True))
    for title, values in maps.items():
        if tuple(values.shape) != coarse:
            raise ValueError(f"maps: {title}: shape {tuple(values.shape)}: must be {coarse}")


def on_image(values: Tensor, stride: Sequence[int], shape: Sequence[int]) -> Volume:
    """Return a map on the image's grid, each of its voxels repeated `stride` times along each axis."""
    fine = values.cpu().numpy()
    for axis, (step, length) in enumerate(zip(stride, shape, strict=True)):
        fine = np.take(fine, np.arange(length) // step, axis)
    return fine


def draw_borders(axes: Axes, numbers: Volume, extent: Extent) -> None:
    """Draw lines where the numbers (rows, columns) change."""
    (height, width), (_, right, _, top) = numbers.shape, extent
    for row, column in np.argwhere(np.diff(numbers, axis=0)):
        at = (row + 1) / height * top
        axes.plot([column / width * right, (column + 1) / width * right], [at, at], color=TEXT, linewidth=BORDER)
    for row, column in np.argwhere(np.diff(numbers, axis=1)):
        at = (column + 1) / width * right
        axes.plot([at, at], [row / height * top, (row + 1) / height * top], color=TEXT, linewidth=BORDER)


def draw_cross(axes: Axes, plane: Plane, voxel: Sequence[int], shape: Sequence[int], extent: Extent) -> None:
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
