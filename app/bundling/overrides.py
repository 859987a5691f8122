"""What a user changes in a config: `key=value`, for keys that are there.

MONAI sets whatever key it is given: a mistyped one changes nothing, and nobody is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

SEPARATOR = "::"
"""Between the parts of a key, such as `train::trainer::max_epochs`; MONAI takes `#` too."""


def read_settings(words: Iterable[str]) -> dict[str, str]:
    """The text of each `key=value`, by key.

    Raises:
        ValueError: one has no key or no value, or a key is there twice.
    """
    settings: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        key = key.strip().replace("#", SEPARATOR)
        if not (key and equals and value):
            raise ValueError(f"set: {word!r}: must be key=value")
        if key in settings:
            raise ValueError(f"set: {key!r}: must be set once")
        settings[key] = value
    return settings


def refuse_unknown(key: str, field: str, config: Mapping[str, Any], file: Path) -> None:
    """Refuse to set a key that a config does not have.

    Args:
        key: the key.
        field: the option that would set it.
        config: the config.
        file: that of the config.

    Raises:
        ValueError: there is no such key; those that look like it are named.
    """
    known = list(keys(config))
    if key in known:
        return
    last = {name: name.rpartition(SEPARATOR)[2] for name in known}
    similar = get_close_matches(key.rpartition(SEPARATOR)[2], set(last.values()))
    like = get_close_matches(key, known) or [name for part in similar for name in known if last[name] == part]
    hint = f"; there is {', '.join(like[:3])}" if like else ""
    raise ValueError(f"{field}: {key!r}: must be a key of {file}{hint}")


def keys(config: Mapping[str, Any] | Sequence[Any]) -> Iterator[str]:
    """Every key of a config, with those of the dictionaries and lists in it: `train`, `train::trainer`, and so on."""
    for name, value in config.items() if isinstance(config, Mapping) else enumerate(config):
        yield str(name)
        if isinstance(value, dict | list):
            yield from (f"{name}{SEPARATOR}{inner}" for inner in keys(value))
