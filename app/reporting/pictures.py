"""Pictures of a case: three planes through its largest error or label, in one scale, each a small WebP."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Hashable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from monai.data import MetaTensor

from hybridseg.app.evaluation.references import Reference
from hybridseg.app.figures.panels import PANEL, best_slice, draw_panel, grey_window
from hybridseg.app.figures.planes import PLANES
from hybridseg.app.labels.files import load_labels
from hybridseg.app.labels.label_maps import resample_labels
from hybridseg.transforms.datasets.input_case import InputCase
from hybridseg.transforms.grid import voxel_lengths
from hybridseg.transforms.io.checks import shares_grid
from hybridseg.transforms.io.load import LoadVolumed, open_volume
from hybridseg.transforms.io.masks import MaskFile

LARGEST = (11.0, 3.6)
"""Largest width of three planes, and largest height of each, in inches."""
QUALITIES = ((150, 80), (150, 50), (110, 40), (75, 30), (50, 20))
"""Dots per inch and WebP quality, in the order they are tried."""
LARGEST_BYTES = 36_000
"""Bytes of a plane before it is encoded as text: three encoded planes stay below 150 kB."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A picture of a plane.

    Args:
        plane: name of the plane.
        uri: the picture, as a data URI.
        size: width and height in mm.
    """

    plane: str
    uri: str
    size: tuple[float, float]


def draw_panels(
    image: InputCase,
    prediction: Path,
    reference: Reference | None = None,
    *,
    focus: Sequence[int],
    label_names: Mapping[int, str],
    channels: int = 1,
    window: tuple[float, float] | None = None,
    resample: bool = False,
) -> list[Panel]:
    """Draw the planes of a case: a channel of the image, the predicted labels, and white outlines of the reference.

    Each plane goes through the slice with most voxels of the labels in focus, or with most errors in them where there
    is a reference.

    Args:
        image: the image of the case.
        prediction: file of the predicted label map.
        reference: the reference, a label map or named masks; None if there is none.
        focus: the labels in focus, taken as one.
        label_names: the labels to draw.
        channels: channels of the image.
        window: intensities drawn black and white; None takes the 1st and 99.5th percentiles.
        resample: resample label maps on another grid to the image's grid, by nearest neighbour.

    Returns:
        The axial, the coronal and the sagittal plane.

    Raises:
        ValueError: a file cannot be read, or is not on the image's grid and `resample` is False.
    """
    files: dict[str, Reference] = {"prediction": prediction}
    if reference is not None:
        files["reference"] = reference
    if len(image.images) > 1:
        channel = drawn_channel(image, prediction)
        image, channels = replace(image, images=image.images[channel : channel + 1]), 1
        window = window if channel == 0 else None
    volumes = load_case(image, files, channels=channels, resample=resample)
    arrays = {name: volume[0].numpy() for name, volume in volumes.items()}
    grey, predicted, true = arrays["image"], arrays["prediction"], arrays.get("reference")
    focused = np.isin(predicted, focus)
    if true is not None:
        focused ^= np.isin(true, focus)
    window = grey_window(grey, window)
    lengths = [float(length) for length in voxel_lengths(volumes["image"].affine.numpy()) * grey.shape]
    sizes = [plane.size(lengths) for plane in PLANES]
    scale = min(LARGEST[0] / sum(width for width, _ in sizes), LARGEST[1] / max(height for _, height in sizes))
    panels = []
    for plane, (width, height) in zip(PLANES, sizes, strict=True):
        index = best_slice(focused.astype(np.float32), plane.axis, {1: "focused"})
        figure = Figure(figsize=(width * scale, height * scale), facecolor=PANEL)
        draw_panel(
            figure.add_axes((0, 0, 1, 1), facecolor=PANEL),
            plane,
            size=(width, height),
            image=plane.cut(grey, index),
            window=window,
            labels=plane.cut(predicted, index),
            reference=None if true is None else plane.cut(true, index),
            label_names=label_names,
        )
        panels.append(Panel(plane=plane.name, uri=data_uri(figure), size=(width, height)))
    return panels


def drawn_channel(image: InputCase, labels: Path) -> int:
    """Return the first channel whose file is on the grid of a label map; 0 if none is."""
    with ExitStack() as opened:
        grid, *headers = [opened.enter_context(open_volume(path)).header for path in (labels, *image.images)]
    return next((index for index, header in enumerate(headers) if shares_grid(header, grid)), 0)


def load_case(
    image: InputCase, labels: Mapping[str, Reference], *, channels: int, resample: bool
) -> dict[str, MetaTensor]:
    """Load an image (C, X, Y, Z) as `image` and its label maps (1, X, Y, Z), with axes right, anterior and superior.

    Raises:
        ValueError: a file cannot be read, or is not on the image's grid and `resample` is False.
    """
    files: dict[Hashable, Any] = {"image": image.entry["image"]}
    if not resample:
        files |= {name: path if isinstance(path, MaskFile) else str(path) for name, path in labels.items()}
    load = LoadVolumed(
        ["image", *labels], label_keys=[*labels], channels=channels, orientation="RAS", allow_missing_keys=True
    )
    volumes: dict[str, MetaTensor] = {str(name): volume for name, volume in load(files).items()}
    if resample:
        grid = volumes["image"]
        for name, path in labels.items():
            resampled = resample_labels(
                *load_labels(path, grid_of=labels["prediction"]), grid.shape[1:], grid.affine.numpy()
            )
            volumes[name] = MetaTensor(resampled[None].astype(np.float32), affine=grid.affine)
    return volumes


def data_uri(figure: Figure) -> str:
    """Encode a figure as a data URI, in the best quality that keeps it small."""
    picture = io.BytesIO()
    for dpi, quality in QUALITIES:
        picture = io.BytesIO()
        figure.savefig(picture, format="webp", dpi=dpi, facecolor=PANEL, pil_kwargs={"quality": quality, "method": 6})
        if picture.tell() <= LARGEST_BYTES:
            break
    return f"data:image/webp;base64,{b64encode(picture.getvalue()).decode()}"
