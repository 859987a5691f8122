"""Settings `key=value` that a user changes in a config, for keys that the config has.

MONAI sets any key it is given, so a mistyped one would change nothing without a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hybridseg.app.runtime.config_values import NONE, broken_rule

SEPARATOR = "::"
"""Between the parts of a key, such as `train::trainer::max_epochs`; MONAI takes `#` too."""

PYTHON = {"None": NONE, "null": NONE, "true": "True", "false": "False"}
"""JSON's words, and None, as MONAI's command line reads them."""


def read_settings(words: Iterable[str]) -> dict[str, str]:
    """Split each `key=value`, and return the values by key.

    Raises:
        ValueError: a word has no key or no value, or a key occurs twice.
    """
    settings: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        key = key.strip().replace("#", SEPARATOR)
        if not (key and equals and value):
            raise ValueError(f"set: {word!r}: must be key=value")
        if key in settings:
            raise ValueError(f"set: {key!r}: must be set once")
        settings[key] = PYTHON.get(value, value)
    return settings


def check_settings(settings: Mapping[str, str]) -> None:
    """Check the values of `read_settings`, as MONAI's command line will read them.

    Raises:
        ValueError: a value is invalid.
    """
    from fire.parser import DefaultParseValue

    if broken := broken_rule({key: DefaultParseValue(value) for key, value in settings.items()}):
        raise ValueError(f"set: {': '.join(broken)}")


def check_key(key: str, field: str, config: Mapping[str, Any], file: Path) -> None:
    """Check that a config has a key.

    Args:
        key: the key.
        field: the option that sets it.
        config: the config.
        file: where the config was read from.

    Raises:
        ValueError: there is no such key; the message names similar ones.
    """
    known = list(keys(config))
    if key in known:
        return
    last = {name: name.rpartition(SEPARATOR)[2] for name in known}
    similar = get_close_matches(key.rpartition(SEPARATOR)[2], set(last.values()))
    like = get_close_matches(key, known) or [name for part in similar for name in known if last[name] == part]
    hint = f"; similar: {', '.join(like[:3])}" if like else ""
    raise ValueError(f"{field}: {key!r}: must be a key of {file}{hint}")


def keys(config: Mapping[str, Any] | Sequence[Any]) -> Iterator[str]:
    """Yield every key of a config, also those of nested dictionaries and lists: `train`, `train::trainer`, …"""
    for name, value in config.items() if isinstance(config, Mapping) else enumerate(config):
        yield str(name)
        if isinstance(value, dict | list):
            yield from (f"{name}{SEPARATOR}{inner}" for inner in keys(value))
