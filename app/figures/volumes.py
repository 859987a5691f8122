"""Load, check and reorient the volumes to draw: one channel, axes to the right, anterior and superior."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import cast

from monai.data import MetaTensor
from monai.transforms import Orientation

from hybridseg.transforms import LoadVolumed
from hybridseg.transforms.errors import PathLike
from hybridseg.transforms.grid import grid_difference
from hybridseg.transforms.io.checks import check_label_map, finite_range

VolumeOrPath = MetaTensor | PathLike


def load_volumes(given: Mapping[str, VolumeOrPath | None]) -> dict[str, MetaTensor]:
    """Load the volumes given by their path, and check those in memory as loading checks files.

    Args:
        given: volumes by name; all but `image` are labels, and None is left out.

    Raises:
        VolumeError: an image with NaN or infinite voxels, labels that are not integers from 0 to 65535, or a file that
            cannot be read.
    """
    volumes = {name: volume for name, volume in given.items() if isinstance(volume, MetaTensor)}
    for name, volume in volumes.items():
        check = finite_range if name == "image" else check_label_map
        check(name, volume.cpu().float().numpy())
    paths: dict[Hashable, VolumeOrPath] = {
        name: volume for name, volume in given.items() if volume is not None and name not in volumes
    }
    if paths:
        loaded = LoadVolumed(list(paths), label_keys=set(paths) - {"image"})(paths)
        volumes |= {str(name): volume for name, volume in loaded.items()}
    return {name: volumes[name] for name in given if name in volumes}


def reorient(name: str, volume: MetaTensor, image: MetaTensor | None = None) -> MetaTensor:
    """Return the volume (1, X, Y, Z) with axes to the right, anterior and superior.

    Args:
        name: its name in errors.
        volume: (1, X, Y, Z); its affine says where its axes point.
        image: the volume whose grid it must have; None allows any grid.

    Raises:
        ValueError: it has several channels, or is on another grid.
    """
    if volume.ndim != 4 or len(volume) != 1:
        raise ValueError(f"{name}: shape {tuple(volume.shape)}: must be (1, X, Y, Z)")
    if image is not None:
        grids = [(one.shape[1:], one.affine.cpu().numpy()) for one in (volume, image)]
        if difference := grid_difference(*grids[0], *grids[1]):
            raise ValueError(f"{name}: {difference}: must be on the image's grid")
    return cast(MetaTensor, Orientation(axcodes="RAS", labels=None)(volume))
