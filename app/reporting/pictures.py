"""Pictures of a case for a page: three planes through its largest error or label, in one scale, each a small WebP."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from monai.data import MetaTensor
from numpy.typing import NDArray

from hybridseg.app.figures.case import (
    PANEL,
    best_slice,
    draw_image,
    draw_labels,
    draw_outlines,
    draw_scale_bar,
    draw_sides,
)
from hybridseg.app.figures.planes import PLANES
from hybridseg.app.labels.files import load_labels
from hybridseg.app.labels.label_maps import resample_labels
from hybridseg.transforms.datasets.inputs import InputCase
from hybridseg.transforms.grid import voxel_lengths
from hybridseg.transforms.io.load import LoadVolumed

Volume = NDArray[np.float32]
LARGEST = (11.0, 3.6)
"""Width that three planes fill at most, and height of each, in inches."""
QUALITIES = ((150, 80), (150, 50), (110, 40), (75, 30), (50, 20))
"""Dots per inch and WebP's quality, from those that are tried first."""
LARGEST_BYTES = 36_000
"""Of a plane, before it is encoded as text: three are then below 150 kB."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A plane as a picture.

    Args:
        plane: its name.
        uri: the picture, as a data URI.
        size: width and height in mm.
    """

    plane: str
    uri: str
    size: tuple[float, float]


def draw_panels(
    image: InputCase,
    prediction: Path,
    reference: Path | None = None,
    *,
    focus: Sequence[int],
    label_names: Mapping[int, str],
    channels: int = 1,
    window: tuple[float, float] | None = None,
    resample: bool = False,
) -> list[Panel]:
    """Draw the planes of a case: the image's first channel, the predicted labels, and white outlines of the true ones.

    Args:
        image: its volume.
        prediction: file of its label map.
        reference: file of the label map taken for true; None where there is none.
        focus: labels which, taken as one, the planes go through, where most of them shows; with a reference, where most
            of it is wrong.
        label_names: the labels to draw.
        channels: of the image.
        window: intensities drawn black and white; None takes the 1st and 99.5th percentiles.
        resample: put label maps on another grid onto the image's, by nearest neighbour.

    Returns:
        The axial, the coronal and the sagittal plane.

    Raises:
        ValueError: a file cannot be read, or is not on the image's grid and `resample` is False.
    """
    given = {"prediction": prediction, "truth": reference}
    labels = {name: path for name, path in given.items() if path is not None}
    volumes = load_case(image, labels, channels=channels, resample=resample)
    grey, predicted, true = (volumes[name][0].numpy() if name in volumes else None for name in ("image", *given))
    assert grey is not None
    assert predicted is not None
    shown = np.isin(predicted, focus)
    if true is not None:
        shown ^= np.isin(true, focus)
    low, high = window if window is not None else np.percentile(grey, (1, 99.5))
    lengths = [float(length) for length in voxel_lengths(volumes["image"].affine.numpy()) * grey.shape]
    sizes = [plane.size(lengths) for plane in PLANES]
    scale = min(LARGEST[0] / sum(width for width, _ in sizes), LARGEST[1] / max(height for _, height in sizes))
    panels = []
    for plane, (width, height) in zip(PLANES, sizes, strict=True):
        index = best_slice(shown.astype(np.float32), plane.axis, {1: "shown"})
        figure = Figure(figsize=(width * scale, height * scale), facecolor=PANEL)
        axes = figure.add_axes((0, 0, 1, 1), facecolor=PANEL)
        extent = (0.0, width, 0.0, height)
        draw_image(axes, plane.cut(grey, index), extent, (low, high))
        axes.set(xlim=(0, width), ylim=(0, height))
        draw_labels(axes, plane.cut(predicted, index), extent, label_names)
        if true is not None:
            draw_outlines(axes, plane.cut(true, index), extent, label_names)
        draw_sides(axes, plane.sides)
        if plane is PLANES[0]:
            draw_scale_bar(axes)
        panels.append(Panel(plane=plane.name, uri=data_uri(figure), size=(width, height)))
    return panels


def load_case(image: InputCase, labels: Mapping[str, Path], *, channels: int, resample: bool) -> dict[str, MetaTensor]:
    """An image (C, X, Y, Z) as `image` and its label maps (1, X, Y, Z), the axes pointing right, anterior and superior.

    Raises:
        ValueError: a file cannot be read, or is not on the image's grid and `resample` is False.
    """
    files: dict[Hashable, Any] = {"image": image.entry["image"]}
    if not resample:
        files |= {name: str(path) for name, path in labels.items()}
    load = LoadVolumed(
        ["image", *labels], label_keys=[*labels], channels=channels, orientation="RAS", allow_missing_keys=True
    )
    volumes: dict[str, MetaTensor] = {str(name): volume for name, volume in load(files).items()}
    if resample:
        grid = volumes["image"]
        for name, path in labels.items():
            put = resample_labels(*load_labels(path), grid.shape[1:], grid.affine.numpy())
            volumes[name] = MetaTensor(put[None].astype(np.float32), affine=grid.affine)
    return volumes


def data_uri(figure: Figure) -> str:
    """A figure as a data URI, in the best quality that keeps it small."""
    picture = io.BytesIO()
    for dpi, quality in QUALITIES:
        picture = io.BytesIO()
        figure.savefig(picture, format="webp", dpi=dpi, facecolor=PANEL, pil_kwargs={"quality": quality, "method": 6})
        if picture.tell() <= LARGEST_BYTES:
            break
    return f"data:image/webp;base64,{b64encode(picture.getvalue()).decode()}"
