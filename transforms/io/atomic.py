"""Files that are either whole or absent: written under a temporary name in the same folder, then renamed into place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from hybridseg.transforms.errors import PathLike


@contextmanager
def replacing(path: PathLike, suffix: str = "") -> Iterator[Path]:
    """Give a temporary path to write to; when the block ends well it becomes `path`, otherwise it is removed.

    The temporary name is hidden, short whatever the length of `path`, and ends in `.part<suffix>`: a run that was
    killed leaves at most such a file, never half of `path`. It is always the same for a `path`, so that what was left
    is written over, and gone, when the run is repeated. The folder of `path` is created.

    Args:
        path: where the finished file goes; a file that is there stays untouched until the new one is whole.
        suffix: ending of the temporary name, for writers that choose the format by it, such as `.nii.gz`.

    Returns:
        A context manager giving the temporary path.

    Raises:
        OSError: the folder cannot be made, or the file cannot be renamed.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.parent / f".{sha256(os.fsencode(final.name)).hexdigest()[:16]}.part{suffix}"
    try:
        yield temporary
        temporary.replace(final)
    finally:  # nothing is left to remove after the renaming; after KeyboardInterrupt there is
        temporary.unlink(missing_ok=True)
