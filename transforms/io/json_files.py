"""Read and write JSON files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hybridseg.transforms.errors import PathLike, VolumeError

from .atomic import write_text


def as_json(record: Any) -> str:
    """Return indented JSON; infinity and NaN, which JSON lacks, raise a ValueError.

    Bytes in file names that are not UTF-8 become JSON escapes, since Python cannot write them otherwise.
    """
    text = json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False)
    return text.encode(errors="backslashreplace").decode()


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        VolumeError: it cannot be read, or is not JSON.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # with or without a byte-order mark
        return json.loads(text, object_pairs_hook=unique_keys)
    except OSError as error:
        raise VolumeError(path, error.strerror, "must be a readable JSON file") from error
    except (ValueError, RecursionError) as error:  # also for text that is not UTF-8, and for deep nesting
        raise VolumeError(path, error, "must be a JSON file") from error


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; a repeated key is an error, since json would keep only the last.

    Raises:
        ValueError: a key is repeated.
    """
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"duplicate key {key!r}")
        found[key] = value
    return found


def write_json(path: PathLike, record: Any) -> None:
    """Write a JSON file, complete or not at all; a file that has this content already is left alone.

    Raises:
        ValueError: the record has infinity or NaN.
        OSError: the file cannot be written.
    """
    write_text(path, as_json(record) + "\n")
