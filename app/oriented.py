"""Volumes as they are drawn: one channel, with axes to the right, anterior and superior."""

from __future__ import annotations

from typing import cast

from monai.data import MetaTensor
from monai.transforms import Orientation

from hybridseg.transforms.geometry import grid_difference


def oriented(name: str, volume: MetaTensor, image: MetaTensor | None = None) -> MetaTensor:
    """The volume (1, X, Y, Z) with axes to the right, anterior and superior.

    Args:
        name: what an error calls it.
        volume: (1, X, Y, Z); its affine says where its axes point.
        image: the volume on whose grid it must be; None for any grid.

    Raises:
        ValueError: it has several channels, or is on another grid.
    """
    if volume.ndim != 4 or len(volume) != 1:
        raise ValueError(f"{name}: shape {tuple(volume.shape)}: must be (1, X, Y, Z)")
    if image is not None:
        grids = [(one.shape[1:], one.affine.cpu().numpy()) for one in (volume, image)]
        if fault := grid_difference(*grids[0], *grids[1]):
            raise ValueError(f"{name}: {fault}: must be on the image's grid")
    return cast(MetaTensor, Orientation(axcodes="RAS", labels=None)(volume))
