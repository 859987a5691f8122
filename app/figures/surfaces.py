"""A picture of the labels as solid bodies, seen from three sides and rendered without a graphics card."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.colors import LightSource, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from monai.data import MetaTensor
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from hybridseg.transforms.errors import PathLike
from hybridseg.transforms.grid import voxel_lengths
from hybridseg.transforms.io.atomic import replacing
from hybridseg.transforms.structures import label_colours

from .panels import BACKGROUND, FAINT, PANEL, TEXT, draw_sides
from .planes import PLANES, Plane
from .volumes import reorient

VIEWS: Mapping[str, str] = {"axial": "from the feet", "coronal": "from the front", "sagittal": "from the left"}
LONGEST = 240
"""Voxels along the longest edge of the rendered grid."""
WIDTH = 9.0
"""Width of the picture, in inches."""
LIGHT = LightSource(azdeg=315, altdeg=50)


def draw_surfaces(path: PathLike, *, labels: MetaTensor, label_names: Mapping[int, str]) -> None:
    """Draw the labels as opaque bodies, lit from the upper left, and save the picture as PNG.

    Args:
        path: of the picture.
        labels: (1, X, Y, Z); its affine says where right, anterior and superior are.
        label_names: the labels to draw, and their names.

    Raises:
        ValueError: labels of several channels, or none to draw.
        OSError: the picture cannot be written.
    """
    if not label_names:
        raise ValueError("label_names: none: at least one label is needed")
    volume = reorient("labels", labels)
    lengths = voxel_lengths(volume.affine.cpu().numpy()) * volume.shape[1:]
    voxel = lengths.max() / LONGEST
    shape = [max(1, round(length / voxel)) for length in lengths.tolist()]
    bodies = {label: resample_mask(volume.as_tensor()[0] == label, shape) for label in label_names}
    colours = label_colours(label_names.values())
    sizes = [plane.size(shape) for plane in PLANES]
    scale = WIDTH / sum(width for width, _ in sizes)
    height = scale * max(height for _, height in sizes) + 0.6
    figure = Figure(figsize=(WIDTH, height), facecolor=BACKGROUND, layout="constrained")
    panels = figure.subplots(1, len(PLANES), width_ratios=[width for width, _ in sizes])
    for axes, plane in zip(panels, PLANES, strict=True):
        axes.imshow(render(bodies.values(), colours, plane), origin="lower")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.set_title(VIEWS[plane.name], color=FAINT, fontsize=10)
        draw_sides(axes, plane.sides)
    marks = [Patch(color=colour, label=name) for colour, name in zip(colours, label_names.values(), strict=True)]
    figure.legend(handles=marks, loc="outside lower center", ncols=6, frameon=False, labelcolor=TEXT, fontsize=9)
    with replacing(path, suffix=".png") as temporary:
        figure.savefig(temporary, dpi=80)


def resample_mask(mask: torch.Tensor, shape: Sequence[int]) -> NDArray[np.bool_]:
    """Resample a mask (X, Y, Z) to another shape over the same volume."""
    fine = F.interpolate(mask[None, None].float(), size=list(shape), mode="trilinear")
    return (fine[0, 0] > 0.5).cpu().numpy()


def render(bodies: Collection[NDArray[np.bool_]], colours: Sequence[str], plane: Plane) -> NDArray[Any]:
    """Render masks (X, Y, Z) as seen along a plane's axis: RGB (rows from bottom to top, columns, 3).

    Args:
        bodies: the masks.
        colours: of each.
        plane: the plane.
    """
    height, width = plane.cut(next(iter(bodies)), 0).shape
    nearest = np.full((height, width), np.inf)
    picture = np.full((height, width, 3), to_rgb(PANEL))
    for colour, mask in zip(colours, bodies, strict=True):
        towards = np.flip(mask, 1) if plane.axis == 1 else mask  # the front, the feet and the left are nearest
        hit = plane.cut(np.any(towards, plane.axis, keepdims=True), 0)
        depth = np.where(hit, plane.cut(towards.argmax(plane.axis, keepdims=True), 0), mask.shape[plane.axis])
        lit = LIGHT.shade_rgb(np.broadcast_to(to_rgb(colour), (*hit.shape, 3)), -smooth(depth, hit), blend_mode="soft")
        shown = hit & (depth < nearest)
        picture[shown], nearest[shown] = lit[shown], depth[shown]
    return picture


def smooth(depth: NDArray[Any], hit: NDArray[np.bool_]) -> NDArray[Any]:
    """Smooth away the steps of voxels in depths (rows, columns), taking only pixels that are hit."""
    weight = gaussian_filter(hit.astype(np.float64), 1.5)
    return gaussian_filter(np.where(hit, depth, 0.0), 1.5) / np.maximum(weight, 1e-6)
