"""The header of a volume in any format, read without its voxels."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybridseg.transforms.errors import PathLike, VolumeError

PADDING_BYTES = 512
"""Most bytes of zeros after the voxels that count as padding: a block of a disk or tape."""

ADDRESS = re.compile(r"\(0x[0-9a-f]+\)")


@dataclass(frozen=True, kw_only=True)
class VolumeHeader:
    """Shape, voxel type and position of a volume, as claimed by its file.

    Args:
        shape: voxels along the spatial axes as stored, then along other axes, such as channels.
        voxel_type: name of the voxel type, such as `int16`.
        is_numeric: whether a voxel is one real number.
        affine: (4, 4), voxel indices of the first three axes to RAS mm.
        voxel_bytes: bytes of all voxels, uncompressed.
        capacity: most bytes of voxels that the file can hold; None if unknown.
        surplus: bytes after the voxels, padding apart; 0 if unknown, as for compressed voxels until they are read.
        frame_of_reference: FrameOfReferenceUID of DICOM, the same for volumes whose positions can be compared; empty if
            not known.
    """

    shape: tuple[int, ...]
    voxel_type: str
    is_numeric: bool
    affine: NDArray[np.float64]
    voxel_bytes: int
    capacity: int | None
    surplus: int = 0
    frame_of_reference: str = ""

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Voxels along each of the three axes; fewer numbers if the volume has fewer axes."""
        return self.shape[:3]

    @property
    def channel_axes(self) -> tuple[int, ...]:
        """Lengths of the axes beyond the third, without those of length 1."""
        return tuple(size for size in self.shape[3:] if size != 1)


def surplus_bytes(path: Path, end: int) -> int:
    """Return how many bytes a file has after its voxels, which end at byte `end`; 0 if these are padding."""
    surplus = path.stat().st_size - end
    if not 0 < surplus <= PADDING_BYTES:
        return max(0, surplus)
    with path.open("rb") as file:
        file.seek(end)
        return surplus if any(file.read(surplus)) else 0


@contextmanager
def unreadable_is_volume_error(path: PathLike) -> Iterator[None]:
    """Turn any error that a reader raises for a broken file into a VolumeError that ends in the reader's reason."""
    try:
        yield
    except VolumeError:
        raise
    except Exception as error:  # readers raise OSError, EOFError, zlib.error, ValueError, RuntimeError and others
        raise VolumeError(path, f"unreadable ({_reason(error, path)})", "must be a whole, readable volume") from error


def _reason(error: Exception, path: PathLike) -> str:
    """Return the last informative line of a reader's message, without the path, which VolumeError names."""
    text = str(error)
    for quote in ('"', "'", ""):
        text = text.replace(f"{quote}{os.fspath(path)}{quote}", "it")
    text = ADDRESS.sub("", text).strip() or type(error).__name__
    lines = [line for line in text.splitlines() if not line.startswith("Reason:")]  # errno text of another call
    return (lines or [text])[-1].strip(" -\t")
