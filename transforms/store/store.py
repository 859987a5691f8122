"""A folder of prepared cases, shared by the trainings that need the same files with the same preprocessing.

The name of an entry follows from the content of a case's files, from the preprocessing and from its code: a change of
any makes another entry, so none is ever out of date. Entries that nothing uses any more are pruned by a command.
"""

from __future__ import annotations

import os
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.data import MetaTensor
from monai.transforms import Compose, MapTransform
from monai.utils import ImageMetaKey

from hybridseg.transforms.errors import PathLike, VolumeError

from .entry import (
    ENTRY,
    folder_size,
    is_whole,
    read_about,
    read_entry,
    remove_entry,
    sources_to_json,
    write_entry,
)
from .identity import FileDigests, Source, case_digest, code_version, digest, files_of, recipe_digest, source

DIGESTS = "digests"
CODE = "hybridseg.transforms"
DAY = 24 * 3600.0
INCOMPLETE = "not complete"


class Store:
    """Prepared cases in a folder, for one preprocessing.

    Args:
        folder: created when the first case is written.
        transforms: the preprocessing.
    """

    def __init__(self, folder: PathLike, transforms: Sequence[Any]) -> None:
        self.folder = Path(folder)
        self.transforms = Compose(list(transforms))
        self.recipe = recipe_digest(transforms)
        self.digests = FileDigests(self.folder / DIGESTS)
        self.keys = {key for item in transforms if isinstance(item, MapTransform) for key in item.keys}

    def entry(self, case: Mapping[Any, Any]) -> Path:
        """Return the folder of a case's entry, whether there is one or not.

        Raises:
            OSError: a file of the case cannot be read.
        """
        keys = [str(key) for key in self.keys if key in case]
        return self.folder / digest(self.recipe, case_digest(case, keys, self.digests))

    def prepare(self, case: Mapping[Any, Any]) -> int:
        """Prepare a case, and write its entry.

        Returns:
            Bytes on disk.

        Raises:
            VolumeError: a file of the case cannot be used, or changes meanwhile.
            OSError: the entry cannot be written.
        """
        sources = [source(file) for key in self.keys if key in case for file in files_of(case[key])]
        folder = self.entry(case)
        done: Any = self.transforms(case)
        if changed := [item.path for item in sources if not item.is_current()]:
            raise VolumeError(changed[0], "changed while it was read", "must not change while cases are prepared")
        volumes = [key for key, value in done.items() if isinstance(value, MetaTensor)]
        about = {"case": str(case.get("case", "")), "code": code_version(CODE), "sources": sources_to_json(sources)}
        return write_entry(folder, done, volumes, about)


def is_ready(entry: Path) -> bool:
    """Return whether an entry is complete and not damaged; reads all of it."""
    return is_whole(entry)


def mark_used(entry: Path) -> None:
    """Note that an entry is used now, where the folder allows it."""
    with suppress(OSError):
        os.utime(entry / ENTRY)


def open_case(case: Mapping[Any, Any], entry: Path, *, whole: bool) -> dict[Hashable, Any]:
    """Return a case with the volumes of its entry; see `read_entry`."""
    opened = {**case, **read_entry(entry, whole=whole)}
    for key, volume in opened.items():
        if isinstance(volume, MetaTensor) and isinstance(case[key], str):  # other cases may have the same content
            volume.meta[ImageMetaKey.FILENAME_OR_OBJ] = case[key]
    return opened


@dataclass(frozen=True, kw_only=True)
class StoredCase:
    """An entry of a store, for those who look after it.

    Args:
        folder: of the entry.
        case: name of the case; empty for an entry that is not complete or damaged.
        size: bytes on disk.
        days: days since it was used or, if it is not complete, written.
        state: empty if it can be used, else why not.
    """

    folder: Path
    case: str
    size: int
    days: float
    state: str


def stored_cases(store: PathLike) -> Iterator[StoredCase]:
    """List the entries of a store, in no particular order.

    Raises:
        OSError: the folder cannot be read.
    """
    for folder in Path(store).iterdir():
        if not folder.is_dir() or folder.name == DIGESTS:
            continue
        about, state = None, INCOMPLETE
        try:
            about = read_about(folder)
            state = state_of(about)
        except VolumeError:
            state = "damaged"
        except FileNotFoundError:
            pass
        with suppress(FileNotFoundError):  # removed meanwhile
            used = (folder if about is None else folder / ENTRY).stat().st_mtime
            yield StoredCase(
                folder=folder,
                case=about["case"] if about else "",
                size=folder_size(folder),
                days=(time.time() - used) / DAY,
                state=state,
            )


def state_of(about: Mapping[str, Any]) -> str:
    """Return why an entry cannot be used any more, from its `entry.json`, or an empty text."""
    if about["code"] != code_version(CODE):
        return "other version"
    if not all(Source(**item).is_current() for item in about["sources"]):
        return "files changed"
    return ""


def prune(store: PathLike, days: float) -> Iterator[StoredCase]:
    """Remove the entries that cannot be used any more, and those that were not used for some days.

    An entry that is not complete may be in the making, so it is removed after a day, whatever `days` is.

    Yields:
        Each entry that was removed.

    Raises:
        OSError: the folder cannot be read.
    """
    for item in list(stored_cases(store)):
        most = 1 if item.state == INCOMPLETE else days
        if item.state not in ("", INCOMPLETE) or item.days > most:
            remove_entry(item.folder)
            yield item
