"""A viewer for notebooks: a volume and its labels in three linked planes, or as a picture without widgets."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hybridseg.app.labels.keep import keep_labels
from hybridseg.app.labels.label_maps import compact_labels, count_labels
from hybridseg.app.labels.label_statistics import label_statistics
from hybridseg.app.runtime.console import align
from hybridseg.transforms.extras import install_command
from hybridseg.transforms.grid import voxel_lengths
from hybridseg.transforms.structures import label_colours

from .panels import BACKGROUND, FAINT, OPACITY, PANEL, TEXT, best_slice, draw_panel, grey_window
from .planes import PLANES, Plane, Volume
from .volumes import VolumeOrPath, load_volumes, reorient

if TYPE_CHECKING:
    from .widgets import Controls

WIDTH, HEIGHT = 9.0, 5.0
"""Largest width and height of the three planes side by side, in inches."""
LINE = 0.22
"""Height of a line of the table, in inches."""
DPI = 100


class SliceViewer:
    """A volume in three planes with labels laid over it, and the statistics of each label.

    As the last expression of a notebook cell it shows itself. With ipywidgets and anywidget, a click into a plane or a
    slider moves the other planes, and controls set the opacity and the labels shown; without them, and in a notebook
    that is only read, it is the picture of `figure()`. The patient's right is on the left.

    Args:
        image: (1, X, Y, Z), whose affine says where right, anterior and superior are; or the path of a volume.
        labels: (1, X, Y, Z) on the same grid, as from `Predictor.predict`, or a path; None shows the image only.
        reference: reference labels (1, X, Y, Z) on the same grid, or a path, outlined in white; None for none.
        label_names: the labels to show, and their names; None takes those that occur.
        window: intensities drawn black and white; None takes the image's 1st and 99.5th percentiles.

    Raises:
        ValueError: an image of several channels, labels on another grid, a label below 1, or an empty window.
        VolumeError: a file that cannot be read, an image with NaN or infinite voxels, or labels that are not integers
            from 0 to 65535.

    Attributes:
        position: the voxel (right, anterior, superior) through which the planes go; at first where most labels show.
        opacity: of the labels, 0 to 1.
        chosen: the labels drawn, out of `label_names`.
        outlined: whether the reference is drawn.
        rows: the table's header, and a row for each label.

    Example:
        >>> import numpy as np
        >>> from monai.data import MetaTensor
        >>> labels = np.zeros((1, 20, 20, 20))
        >>> labels[0, 4:8, 4:14, 4:14] = 1
        >>> viewer = SliceViewer(MetaTensor(100 * labels), MetaTensor(labels), label_names={1: "cube"})
        >>> print(viewer.table())
        label   ml   mean
        cube   0.4  100.0
    """

    def __init__(
        self,
        image: VolumeOrPath,
        labels: VolumeOrPath | None = None,
        *,
        reference: VolumeOrPath | None = None,
        label_names: Mapping[int, str] | None = None,
        window: tuple[float, float] | None = None,
    ) -> None:
        loaded = load_volumes({"image": image, "labels": labels, "reference": reference})
        volumes = {name: reorient(name, volume, loaded["image"]) for name, volume in loaded.items()}
        self.affine = volumes["image"].affine.cpu().numpy()
        self.image: Volume = volumes.pop("image")[0].cpu().numpy().astype(np.float32)
        maps = {name: compact_labels(volume[0]) for name, volume in volumes.items()}
        self.labels, self.reference = maps.get("labels"), maps.get("reference")
        if label_names is None:
            found = {int(label) for labels in maps.values() for label in np.flatnonzero(count_labels(labels))}
            label_names = {label: f"label {label}" for label in sorted(found - {0})}
        if label_names and min(label_names) < 1:
            raise ValueError(f"label_names: {min(label_names)}: a label must be at least 1")
        if window is not None and not window[0] < window[1]:
            raise ValueError(f"window: {window}: the second intensity must be above the first")
        self.window = grey_window(self.image, window)
        self.label_names = dict(label_names)
        self.chosen: Collection[int] = tuple(self.label_names)
        self.opacity = OPACITY
        self.outlined = self.reference is not None
        self.position = tuple(length // 2 for length in self.image.shape)
        self.show(*self.label_names)
        lengths = (voxel_lengths(self.affine) * self.image.shape).tolist()
        self.sizes = {plane: plane.size(lengths) for plane in PLANES}
        widths, heights = zip(*self.sizes.values(), strict=True)
        self.scale = min(WIDTH / sum(widths), HEIGHT / max(heights))  # inches per mm
        self._controls: Controls | None = None
        self.rows = self._measure()

    def show(self, *labels: int) -> None:
        """Move the position to where most of these labels show; do nothing if no voxel has them."""
        for volume in (self.labels, self.reference):
            if volume is not None and keep_labels(volume, labels).any():
                self.position = tuple(best_slice(volume, axis, dict.fromkeys(labels, "")) for axis in range(3))
                return

    def place(self, plane: Plane) -> tuple[float, float]:
        """Return the position in a plane, as shares of its width from the left and of its height from the top."""
        x, y = (1 - (self.position[axis] + 0.5) / self.image.shape[axis] for axis in plane.axes)
        return x, y

    def move_to(self, plane: Plane, x: float, y: float) -> None:
        """Move the position within a plane; the inverse of `place`."""
        position, shape = list(self.position), self.image.shape
        for axis, share in zip(plane.axes, (1 - x, 1 - y), strict=True):
            position[axis] = min(max(int(share * shape[axis]), 0), shape[axis] - 1)
        self.position = tuple(position)

    def here(self) -> str:
        """Describe the voxel at the position: its coordinates in mm, its intensity, its labels."""
        millimetres = zip(("RL", "AP", "SI"), self.affine @ (*self.position, 1), strict=False)
        place = " ".join(f"{sides[int(value < 0)]} {abs(value):.0f}" for sides, value in millimetres)
        parts = [f"{place} mm", f"intensity {self.image[self.position]:.4g}"]
        for name, labels in (("label", self.labels), ("reference", self.reference)):
            if labels is not None:
                label = int(labels[self.position])
                parts.append(f"{name} {self.label_names.get(label, label or 'none')}")
        return "   ".join(parts)

    def table(self) -> str:
        """Return the volume and mean intensity of each label as aligned text."""
        return "\n".join(align(self.rows))

    def draw(self, plane: Plane) -> bytes:
        """Return a plane at the position, as a PNG."""
        width, height = self.sizes[plane]
        figure = Figure(figsize=(width * self.scale, height * self.scale), facecolor=PANEL)
        self._draw_panel(figure.add_axes((0, 0, 1, 1)), plane)
        return as_file(figure, "png", compress_level=1)

    def figure(self) -> Figure:
        """Draw the planes side by side with lines where they intersect, and the table below."""
        sizes = self.sizes.values()
        lines = align(self.rows) if self.label_names else []
        width = self.scale * sum(width for width, _ in sizes)
        height = self.scale * max(height for _, height in sizes)
        figure = Figure(figsize=(width, height + 0.4 + LINE * len(lines)), facecolor=BACKGROUND, layout="constrained")
        panels = figure.subplots(1, len(PLANES), width_ratios=[width for width, _ in sizes])
        for axes, plane in zip(panels, PLANES, strict=True):
            self._draw_panel(axes, plane)
            (right, top), (x, y) = self.sizes[plane], self.place(plane)
            axes.axvline(x * right, color=TEXT, linewidth=0.4)
            axes.axhline((1 - y) * top, color=TEXT, linewidth=0.4)
            axes.set_title(plane.name, color=FAINT, fontsize=10)
        if lines:
            ink = [FAINT, *label_colours(self.label_names.values())]
            style: dict[str, Any] = {"handlelength": 0, "handletextpad": 0, "frameon": False, "labelcolor": ink}
            figure.legend(
                [Line2D([], [])] * len(lines),
                lines,
                loc="outside lower left",
                prop={"family": "monospace", "size": 9},
                **style,
            )
        return figure

    def controls(self) -> Controls | None:
        """Return the widgets for a notebook; None without ipywidgets or anywidget."""
        if self._controls is None and find_spec("ipywidgets") and find_spec("anywidget"):
            from .widgets import Controls

            self._controls = Controls(self)
        return self._controls

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:  # the picture is for readers without a kernel
        still = b64encode(as_file(self.figure(), "jpeg", quality=88)).decode()
        picture = {"text/plain": self.table(), "image/jpeg": still}
        if (controls := self.controls()) is None:
            print(f"ipywidgets or anywidget is missing, so this is a picture: {install_command('notebooks')}")
            return picture
        controls.refresh()
        return {**(controls.box._repr_mimebundle_() or {}), **picture}

    def _draw_panel(self, axes: Axes, plane: Plane) -> None:
        index = self.position[plane.axis]
        outlined = self.reference if self.outlined else None
        draw_panel(
            axes,
            plane,
            size=self.sizes[plane],
            image=plane.cut(self.image, index),
            window=self.window,
            labels=None if self.labels is None else keep_labels(plane.cut(self.labels, index), self.chosen),
            reference=None if outlined is None else keep_labels(plane.cut(outlined, index), self.chosen),
            label_names=self.label_names,
            opacity=self.opacity,
        )

    def _measure(self) -> list[list[str]]:
        columns = [["label", *self.label_names.values()]]
        for header, labels in (("", self.labels), ("reference ", self.reference)):
            if labels is not None:
                rows = label_statistics(labels, [self.image], affine=self.affine, label_names=self.label_names)
                columns.append([f"{header}ml", *(short(row.volume_ml) for row in rows)])
                columns.append([f"{header}mean", *(short(row.mean) for row in rows)])
        return [list(row) for row in zip(*columns, strict=True)]


def short(value: float | None) -> str:
    """Format a volume or an intensity."""
    return "-" if value is None else f"{value:.1f}" if abs(value) >= 1 else f"{value:.2g}"


def as_file(figure: Figure, kind: str, **options: int) -> bytes:
    """Return a figure as a PNG or JPEG file, saved with these options of Pillow."""
    with io.BytesIO() as file:
        figure.savefig(file, format=kind, dpi=DPI, pil_kwargs=options)
        return file.getvalue()
