"""Draw the figures of the documentation from the code that they show: `python docs/figures.py`."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle
from torch import Tensor

from hybridseg.networks import PRESETS, HybridSwinUNETR, create_model
from hybridseg.networks.mixers.window_grid import window_grid

IMAGES = Path(__file__).parent / "images"
COLOURS = {"stem": "#dddddd", "conv": "#a6cee3", "window": "#fdbf6f", "up": "#b2df8a", "head": "#ffffff"}
WINDOW = 96


def shapes(network: HybridSwinUNETR) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Return (C, D, H, W) of the encoder's and the decoder's scales, finest first, for a cube of 96 voxels."""
    with torch.inference_mode():
        features = network.encoder(torch.zeros(1, network.config.in_channels, WINDOW, WINDOW, WINDOW))
        decoded = network.decoder(features)

    def shapes_of(maps: list[Tensor]) -> list[tuple[int, ...]]:
        return [tuple(feature.shape[1:]) for feature in maps]

    return shapes_of(features), shapes_of(decoded)


def box(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    """Draw a labelled box centred at (x, y)."""
    shape = FancyBboxPatch(
        (x - 1.35, y - 0.3), 2.7, 0.6, boxstyle="round,pad=0.04", facecolor=colour, edgecolor="#333333"
    )
    axes.add_patch(shape)
    axes.text(x, y, text, ha="center", va="center", fontsize=9)


def draw_network(name: str) -> None:
    """Draw a preset as a U, with the layers and the output shape at each scale."""
    network = create_model(name, in_channels=1, out_channels=14).eval()
    config = PRESETS[name]
    encoder, decoder = shapes(network)
    figure, axes = plt.subplots(figsize=(9, 0.95 * len(encoder) + 1.1))
    parts = ["stem", *(mixer if isinstance(mixer, str) else mixer["name"] for mixer in config.mixers)]
    depths = ["", *(f" x {depth}" for depth in config.depths)]
    box(axes, 0, 1.0, f"image  1 x {WINDOW}³", COLOURS["head"])
    for scale, (part, depth, shape) in enumerate(zip(parts, depths, encoder, strict=True)):
        kind = "conv stem" if scale == 0 else part
        box(axes, 0, -scale, f"{kind}{depth}   {shape[0]} x {shape[1]}³", COLOURS[part])
        axes.annotate("", (0, -scale + 0.36), (0, 1 - scale - 0.36), arrowprops={"arrowstyle": "->"})
    for scale, shape in enumerate(decoder):
        box(axes, 5, -scale, f"up, fuse, conv   {shape[0]} x {shape[1]}³", COLOURS["up"])
        axes.annotate("", (3.58, -scale), (1.42, -scale), arrowprops={"arrowstyle": "->", "linestyle": "--"})
        axes.annotate("", (5, 1 - scale - 0.36), (5, -scale + 0.36), arrowprops={"arrowstyle": "->"})
        if scale:
            axes.text(6.55, -scale, "head, in training", va="center", fontsize=8, color="#555555")
    lowest = len(decoder)
    axes.plot([1.42, 5], [-lowest, -lowest], color="black", linewidth=0.8)
    axes.annotate("", (5, -lowest + 1 - 0.36), (5, -lowest), arrowprops={"arrowstyle": "->"})
    box(axes, 5, 1.0, f"logits  14 x {WINDOW}³", COLOURS["head"])
    axes.text(2.5, 0.12, "skip", ha="center", fontsize=8, color="#555555")
    axes.set(xlim=(-1.6, 8.6), ylim=(-lowest - 0.5, 1.5))
    axes.axis("off")
    save(figure, f"network_{name}")


def draw_windows() -> None:
    """Draw a map of 10 x 14 under windows of at most 6 x 6: padded to whole windows, and balanced."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6))
    height, width = 10, 14
    padded, grid = (12, 18), window_grid((1, height, width), (6, 6, 6), shifted=False)
    balanced = (grid.count[1] * grid.window[1], grid.count[2] * grid.window[2])
    for axes, size, window, title in (
        (left, padded, (6, 6), "windows of 6 x 6: padded to 12 x 18"),
        (
            right,
            balanced,
            grid.window[1:],
            f"balanced: {grid.window[1]} x {grid.window[2]}, padded to {balanced[0]} x {balanced[1]}",
        ),
    ):
        axes.add_patch(Rectangle((0, 0), size[1], size[0], facecolor="#f4d9c6"))
        axes.add_patch(Rectangle((0, 0), width, height, facecolor=COLOURS["window"]))
        for row in range(height):
            axes.plot([0, width], [row, row], color="white", linewidth=0.4)
        for column in range(width):
            axes.plot([column, column], [0, height], color="white", linewidth=0.4)
        for row in np.arange(0, size[0] + 1, window[0]):
            axes.plot([0, size[1]], [row, row], color="black", linewidth=1.2)
        for column in np.arange(0, size[1] + 1, window[1]):
            axes.plot([column, column], [0, size[0]], color="black", linewidth=1.2)
        axes.set(title=title, xlim=(-0.3, 18.3), ylim=(12.3, -0.3), aspect="equal")
        axes.axis("off")
    save(figure, "windows")


def save(figure: plt.Figure, name: str) -> None:
    """Write an SVG without a date, so that the same figure always gives the same file."""
    IMAGES.mkdir(exist_ok=True)
    figure.savefig(IMAGES / f"{name}.svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Draw all figures."""
    mpl.use("Agg")
    mpl.rcParams |= {"svg.hashsalt": "hybridseg", "font.family": "DejaVu Sans"}
    for name in ("small", "base"):
        draw_network(name)
    draw_windows()


if __name__ == "__main__":
    main()
