"""One prepared case on disk: compressed arrays that are read in parts, and what MONAI needs to know of them.

An entry is a folder with an array for each volume, the positions of the labels, and `entry.json`. This is
written last: without it there is no entry, whenever the writing process was killed. It has the sizes and check sums
of the other files, since a damaged array may be decompressed to other voxels without an error.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.atomic import replacing
from hybridseg.transforms.patches import POSITIONS, Positions, label_positions

from .identity import Source

ENTRY, POSITIONS_FILE = "entry.json", "positions.npy"
CHUNK, BLOCK = 64, 32
"""Voxels along each axis of a chunk, the unit of compression on disk, and of a block, the unit of reading."""
LEVEL = 1
"""Of Zstandard: level 5 writes four times as long for 2 % less; LZ4 reads twice as fast, but needs a third more."""

LABEL = "label"
READ_BYTES = 1 << 20


def write_entry(folder: Path, case: Mapping[Any, Any], volumes: Sequence[Hashable], about: dict[str, Any]) -> int:
    """Write an entry.

    Args:
        folder: of the entry.
        case: the prepared case; its `label`, if any, is stored in the smallest type, with positions of its labels.
        volumes: the keys of its MetaTensors (C, D, H, W).
        about: what `entry.json` shall say besides.

    Returns:
        Bytes on disk.

    Raises:
        OSError: the folder or a file cannot be written.
    """
    about, files = {**about, "volumes": {}}, []
    for key in volumes:
        volume = case[key]
        array = volume.cpu().numpy()
        if key == LABEL:
            positions = label_positions(array)
            about["positions"] = {number: len(voxels) for number, voxels in positions.items()}
            with replacing(folder / POSITIONS_FILE, ".npy") as temporary:
                np.save(temporary, np.concatenate(list(positions.values())))
            files.append(POSITIONS_FILE)
            array = array.astype(np.uint8 if array.max() <= np.iinfo(np.uint8).max else np.uint16)
        write_array(folder / f"{key}.b2nd", array)
        files.append(f"{key}.b2nd")
        about["volumes"][key] = {name: to_json(value) for name, value in volume.meta.items()}
    about["files"] = {name: check_sum(folder / name) for name in files}
    text = json.dumps(about)
    with replacing(folder / ENTRY) as temporary:
        temporary.write_text(json.dumps({"crc32": crc32(text.encode()), "about": text}), encoding="utf-8")
    return folder_size(folder)


def check_sum(path: Path) -> list[int]:
    """Return the size of a file in bytes and the CRC-32 of its content.

    Raises:
        OSError: it cannot be read.
    """
    size, found = 0, 0
    with path.open("rb") as file:
        while part := file.read(READ_BYTES):
            size, found = size + len(part), crc32(part, found)
    return [size, found]


def read_about(folder: Path) -> dict[str, Any]:
    """Read the `entry.json` of an entry.

    Raises:
        FileNotFoundError: the entry is not complete.
        VolumeError: it is damaged.
    """
    path = folder / ENTRY
    content = path.read_bytes()
    with suppress(ValueError, KeyError, TypeError):
        written = json.loads(content)
        if crc32(written["about"].encode()) == written["crc32"]:
            about: dict[str, Any] = json.loads(written["about"])
            return about
    raise VolumeError(path, "damaged", "must be what was written: the next training prepares the case again")


def is_whole(folder: Path) -> bool:
    """Return whether all files of an entry are there, as they were written; reads them."""
    with suppress(OSError, VolumeError):
        return all(check_sum(folder / name) == written for name, written in read_about(folder)["files"].items())
    return False


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array (C, D, H, W), compressed in blocks.

    Raises:
        OSError: the file cannot be written.
    """
    import blosc2

    chunks, blocks = ((1, *(min(length, edge) for length in array.shape[1:])) for edge in (CHUNK, BLOCK))
    cparams = {"codec": blosc2.Codec.ZSTD, "clevel": LEVEL, "filters": [blosc2.Filter.SHUFFLE], "nthreads": 1}
    values: Any = np.ascontiguousarray(array)
    compressed: Any = blosc2.asarray(values, chunks=chunks, blocks=blocks, cparams=cparams)
    with replacing(path) as temporary:
        temporary.write_bytes(compressed.to_cframe())


def open_array(path: Path) -> Any:
    """Open an array (C, D, H, W) whose slices are read from the disk when they are taken."""
    import blosc2

    options: dict[str, Any] = {"mode": "r", "mmap_mode": "r", "dparams": {"nthreads": 1}}
    return blosc2.open(str(path), **options)


def read_entry(folder: Path, *, whole: bool) -> dict[Hashable, Any]:
    """Read an entry.

    Args:
        folder: of the entry.
        whole: read the volumes, as MetaTensors in float32; if False, they are arrays that are read where they are
            sliced, and the positions of the labels are given too.

    Raises:
        OSError: a file is missing or cannot be read.
        VolumeError: `entry.json` is damaged.
    """
    about = read_about(folder)
    case: dict[Hashable, Any] = {}
    for key, meta in about["volumes"].items():
        array = open_array(folder / f"{key}.b2nd")
        if whole:
            values = torch.from_numpy(array[:].astype(np.float32, copy=False))
            array = MetaTensor(values, meta={name: from_json(value) for name, value in meta.items()})
        case[key] = array
    if "positions" in about and not whole:
        case[POSITIONS] = read_positions(folder, about["positions"])
    return case


def read_positions(folder: Path, counts: Mapping[str, int]) -> Positions:
    """Open the positions of each label; a position is read when it is taken."""
    every = np.load(folder / POSITIONS_FILE, mmap_mode="r")
    ends = np.cumsum(list(counts.values()))
    return {int(number): every[end - counts[number] : end] for number, end in zip(counts, ends, strict=True)}


def folder_size(folder: Path) -> int:
    """Return the bytes of all files in a folder and below; others may write and remove files meanwhile."""
    size = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):
            size += file.stat().st_size if file.is_file() else 0
    return size


def remove_entry(folder: Path) -> None:
    """Remove an entry, `entry.json` first."""
    with suppress(FileNotFoundError):
        (folder / ENTRY).unlink()
    shutil.rmtree(folder, ignore_errors=True)


def sources_to_json(sources: Sequence[Source]) -> list[dict[str, Any]]:
    """Return the sources of an entry for `entry.json`."""
    return [asdict(item) for item in sources]


def to_json(value: Any) -> Any:
    """Return an item of metadata for JSON; arrays as their type and values."""
    if isinstance(value, torch.Tensor):
        return {"tensor": str(value.dtype).removeprefix("torch."), "values": value.tolist()}
    if isinstance(value, np.ndarray):
        return {"array": str(value.dtype), "values": value.tolist()}
    return str(value) if isinstance(value, str) else value


def from_json(value: Any) -> Any:
    """Return an item of metadata as it was before `to_json`."""
    if isinstance(value, dict) and "tensor" in value:
        return torch.tensor(value["values"], dtype=getattr(torch, value["tensor"]))
    if isinstance(value, dict) and "array" in value:
        return np.asarray(value["values"], dtype=value["array"])
    return value
