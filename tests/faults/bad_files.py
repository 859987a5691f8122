"""The small image from which all bad files are made, ways to damage any file, and what is expected of a valid one."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[Any]
Write = Callable[[Path], Path]
"""Writes files into a folder, and returns the path of the volume among them."""

SHAPE = (14, 12, 10)
AFFINE = np.array([[1.0, 0, 0, -7], [0, 1.5, 0, 5], [0, 0, 2, -20], [0, 0, 0, 1]])


def smooth_noise() -> Array:
    """Return intensities (14, 12, 10) from 10 to 110, which every voxel type can hold."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=SHAPE), 1)
    return (100 * (noise - noise.min()) / np.ptp(noise)).round().astype(np.int16) + np.int16(10)


VOXELS = smooth_noise()


def with_value(value: float, count: int = 1) -> Array:
    """Return the image in float32, with `count` voxels of another value."""
    voxels = VOXELS.astype(np.float32)
    voxels.flat[:count] = value
    return voxels


def content(name: str, data: bytes = b"") -> Write:
    """Return a writer of a file with these bytes."""

    def write(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return write


def changed(write: Write, change: Callable[[bytes], bytes]) -> Write:
    """Return a writer of the same file with its bytes changed."""

    def edit(folder: Path) -> Path:
        path = write(folder)
        path.write_bytes(change(path.read_bytes()))
        return path

    return edit


def cut(write: Write, *, keep: float = 1.0, drop: int = 0) -> Write:
    """Return a writer of the same file, ending early."""
    return changed(write, lambda data: data[: int(len(data) * keep) - drop])


def flipped(write: Write, place: int) -> Write:
    """Return a writer of the same file with one bit changed."""
    return changed(write, lambda data: data[:place] + bytes([data[place] ^ 1]) + data[place + 1 or None :])


def edited(write: Write, old: str, new: str) -> Write:
    """Return a writer of the same file with a part of its text replaced."""

    def replace(data: bytes) -> bytes:
        assert old.encode() in data
        return data.replace(old.encode(), new.encode())

    return changed(write, replace)


def named(name: str, write: Write) -> Write:
    """Return a writer of the same file under another name."""
    return lambda folder: write(folder).rename(folder / name)


def zipped(write: Write, *, times: int = 1, tail: bytes = b"") -> Write:
    """Return a writer of the same file gzipped, as `scan.nii.gz`, with bytes appended."""

    def compress(data: bytes) -> bytes:
        for _ in range(times):
            data = gzip.compress(data, mtime=0)
        return data + tail

    return named("scan.nii.gz", changed(write, compress))


def nifti(name: str = "scan.nii", voxels: Array = VOXELS, affine: Array = AFFINE, kind: Any = nib.Nifti1Image) -> Write:
    """Return a writer of a NIfTI file of these voxels."""

    def write(folder: Path) -> Path:
        nib.save(kind(voxels, affine, dtype=voxels.dtype), folder / name)
        return folder / name

    return write


@dataclass(frozen=True)
class Segmented:
    """Expects a label map: that of a plain file of the same image.

    Args:
        plain: writes the plain file; None if there is none to compare with.
    """

    plain: Write | None


SAME, ALONE = Segmented(nifti("plain.nii")), Segmented(None)
UNREADABLE = r"unreadable \(.*\): must be a whole, readable volume"
AXES = "the affine must be finite and its three axes independent"
Kinds = dict[str, tuple[Write, str | Segmented]]
"""By the peculiarity of a file: its writer, and the pattern of the error message or the expected label map."""
