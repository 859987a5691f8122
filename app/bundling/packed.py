"""Use a bundle that is packed as a zip: its own files only, with the installed HybridSeg instead of the packed code."""

from __future__ import annotations

import atexit
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from zipfile import BadZipFile, ZipFile

from hybridseg.bundles import bundle_path
from hybridseg.transforms.errors import VolumeError

from .packing import PARTS

unpacked: dict[Path, Path] = {}
"""The zip of each temporary folder."""


def find_bundle(name: str | Path) -> Path:
    """Return the folder of a bundle; a zip is unpacked into a temporary folder, which is removed as the process ends.

    Args:
        name: name of a shipped bundle, or the folder or packed zip of any bundle.

    Raises:
        ValueError: `name` is none of these, or the zip cannot be read.
    """
    path = Path(name)
    return unpack(path.resolve()) if path.suffix == ".zip" and path.is_file() else bundle_path(name)


@cache
def unpack(path: Path) -> Path:
    """Unpack a zip that `hybridseg pack` wrote, once in a process.

    Raises:
        VolumeError: it cannot be read, or holds no bundle.
    """
    folder = Path(mkdtemp(prefix="hybridseg-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        with ZipFile(path) as archive:
            names = archive.namelist()
            bundles = [name.split("/")[0] for name in names if name.endswith("/configs/metadata.json")]
            if len(bundles) != 1:
                raise VolumeError(path, f"{len(bundles)} bundles", "must be a zip of hybridseg pack, with one bundle")
            own = tuple(f"{bundles[0]}/{part}" for part in PARTS)
            archive.extractall(folder, [name for name in names if name.startswith(own)])
    except (OSError, BadZipFile) as error:
        raise VolumeError(path, error, "must be a whole zip of hybridseg pack") from error
    unpacked[folder] = path
    return bundle_path(folder / bundles[0])


def recorded_path(path: Path) -> str:
    """Return a path for records: that of a file in a zip, such as `b.zip/b/models/model.pt`, where it was unpacked."""
    for folder, source in unpacked.items():
        if path.is_relative_to(folder):
            return str(source / path.relative_to(folder))
    return str(path)
