"""Volumes as they are drawn: sound, of one channel, with axes to the right, anterior and superior."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import cast

from monai.data import MetaTensor
from monai.transforms import Orientation

from hybridseg.transforms import LoadVolumed
from hybridseg.transforms.errors import PathLike
from hybridseg.transforms.grid import grid_difference
from hybridseg.transforms.io.checks import check_label_map, finite_range

Given = MetaTensor | PathLike
"""A volume, or the path of one."""


def checked(given: Mapping[str, Given | None]) -> dict[str, MetaTensor]:
    """The volumes that are there and sound, those given by their path read from it; all but the image are labels."""
    volumes = {name: volume for name, volume in given.items() if isinstance(volume, MetaTensor)}
    for name, volume in volumes.items():
        check = finite_range if name == "image" else check_label_map
        check(name, volume.cpu().float().numpy())
    paths: dict[Hashable, Given] = {
        name: volume for name, volume in given.items() if volume is not None and name not in volumes
    }
    if paths:
        loaded = LoadVolumed(list(paths), label_keys=set(paths) - {"image"})(paths)
        volumes |= {str(name): volume for name, volume in loaded.items()}
    return {name: volumes[name] for name in given if name in volumes}


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
