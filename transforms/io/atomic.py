"""Files that are either complete or absent: written under a temporary name in the same folder, then renamed."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from hybridseg.transforms.errors import PathLike


@contextmanager
def replacing(path: PathLike, suffix: str = "") -> Iterator[Path]:
    """Yield a temporary path to write to, which becomes `path` when the block succeeds and is removed when it fails.

    The temporary name is hidden, short whatever the length of `path`, and ends in `.part<suffix>`. A killed run leaves
    such a file at most, never half of `path`. The name depends on `path` alone, so the next run overwrites and renames
    what was left. The folder of `path` is created.

    Args:
        path: where the finished file goes; an existing file stays untouched until the new one is complete.
        suffix: ending of the temporary name, for writers that choose the format by it, such as `.nii.gz`.

    Returns:
        A context manager that yields the temporary path.

    Raises:
        OSError: the folder cannot be created, or the file cannot be renamed.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.parent / f".{sha256(os.fsencode(final.name)).hexdigest()[:16]}.part{suffix}"
    try:
        yield temporary
        temporary.replace(final)
    finally:  # nothing is left to remove after the renaming; after KeyboardInterrupt there is
        temporary.unlink(missing_ok=True)


def write_csv(
    path: PathLike, fieldnames: Sequence[str], rows: Iterable[Mapping[str, Any]], *, suffix: str = ""
) -> None:
    """Write a table as CSV in UTF-8, with a header line and `\\n` at line ends.

    Args:
        path: the file; its folder is created.
        fieldnames: columns, in order.
        rows: values by column; a missing column is left empty. Surrogates from undecodable file names are escaped.
        suffix: ending of the temporary name; see `replacing`.

    Raises:
        ValueError: a row has a column that is not in `fieldnames`.
        OSError: the file cannot be written.
    """
    with (
        replacing(path, suffix) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.DictWriter(file, fieldnames, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
