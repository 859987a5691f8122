"""Where the instances of a DICOM series are stored: in files of a folder, or in a zip, which is never unpacked.

GDCM reads from a path only. A member of a zip, or a file that must be changed first, is copied for it alone, one at a
time, to a file in memory on Linux; elsewhere to a file in the folder for temporary files that only its owner can read,
removed at once. What a killed process leaves there is removed when the next zip is read.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from hybridseg.transforms.io.atomic import remove_abandoned, temporary_path
from hybridseg.transforms.io.header import unreadable_is_volume_error

MAGIC_OFFSET, MAGIC = 128, b"DICM"
DICOM_EXTENSIONS = (".dcm", ".ima")
HAS_MEMORY_FILES = hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd")


@dataclass(frozen=True)
class StoredInstance:
    """A file of a folder, or a member of an open zip.

    Args:
        path: the file; for a member, a path that names it in errors, without its folders: these often name patients.
        archive: the zip.
        member: the member of the zip.
    """

    path: Path
    archive: zipfile.ZipFile | None = None
    member: zipfile.ZipInfo | None = None

    @property
    def size(self) -> int:
        """Bytes of the file; of a member as the zip claims, which is as much as can be read of it."""
        return self.path.stat().st_size if self.member is None else self.member.file_size

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open the instance for reading."""
        if self.archive is None or self.member is None:
            with self.path.open("rb") as file:
                yield file
        else:
            with self.archive.open(self.member) as packed, io.BufferedReader(packed) as stream:  # type: ignore[type-var]
                yield stream

    @contextmanager
    def as_file(self, change: Callable[[BinaryIO], BinaryIO] | None = None) -> Iterator[Path]:
        """Yield a path to read the instance from, which is valid within the block.

        Args:
            change: makes another content of that of the file, which itself stays as it is.
        """
        if self.archive is None and change is None:
            yield self.path
            return
        with self.open() as stream:
            content = stream if change is None else change(stream)
            with (memory_file if HAS_MEMORY_FILES else private_file)(content) as path:
                yield path


@contextmanager
def memory_file(content: BinaryIO) -> Iterator[Path]:
    """Copy a stream to a file in memory (Linux), which ends with the block, or with the process."""
    with os.fdopen(os.memfd_create("dicom"), "wb") as file:
        shutil.copyfileobj(content, file)
        file.flush()
        yield Path(f"/proc/self/fd/{file.fileno()}")


@contextmanager
def private_file(content: BinaryIO) -> Iterator[Path]:
    """Copy a stream to a temporary file that only its owner can read, and that is removed when the block ends."""
    path = temporary_path(Path(tempfile.gettempdir()), ".dcm")
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            shutil.copyfileobj(content, file)
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def list_instances(source: Path) -> Iterator[Sequence[StoredInstance]]:
    """List what may be DICOM directly in a folder, sorted by name, or anywhere in a zip, which is open in the block.

    Raises:
        VolumeError: the zip cannot be read.
    """
    if source.is_dir():
        yield [StoredInstance(file) for file in sorted(source.iterdir()) if is_dicom(file)]
        return
    if not HAS_MEMORY_FILES:
        remove_abandoned(Path(tempfile.gettempdir()))
    with unreadable_is_volume_error(source):
        archive = zipfile.ZipFile(source)
    with archive:
        members = [
            StoredInstance(source / PurePosixPath(member.filename).name, archive, member)
            for member in archive.infolist()
            if not member.is_dir()
        ]
        found = []
        for member in members:
            with unreadable_is_volume_error(member.path), member.open() as stream:
                if is_dicom_stream(member.path, stream):
                    found.append(member)
        yield found


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM by its first bytes, or else by its extension."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return is_dicom_stream(path, file)


def is_dicom_stream(path: Path, stream: BinaryIO) -> bool:
    """Return whether a stream, opened from a path, is DICOM by its first bytes, or else by its extension."""
    if path.name == "DICOMDIR" or path.name.startswith("."):
        return False
    return stream.read(MAGIC_OFFSET + len(MAGIC))[MAGIC_OFFSET:] == MAGIC or path.suffix.lower() in DICOM_EXTENSIONS
