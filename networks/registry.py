"""Build a part of a network from its name and options."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

Part = str | Mapping[str, Any]


def build(part: Part, known: Mapping[str, Any], field: str, *args: Any, **fixed: Any) -> Any:
    """Build a part of the network from its name and options.

    Args:
        part: a name, or a mapping of `name` and options; a name with a dot is the path of a class that is imported,
            such as `package.module.Class`.
        known: the classes by name.
        field: the config's field, for messages.
        args: positional arguments of every class in `known`.
        fixed: keyword arguments that the network sets, not the user.

    Raises:
        ValueError: `part` is neither a name nor a mapping, the name is unknown (the message lists the known ones), or
            an option is unknown or wrong.
    """
    if not isinstance(part, str | Mapping):
        raise ValueError(f"{field}: {part!r}: must be a name, or a mapping of name and options")
    options = {"name": part} if isinstance(part, str) else dict(part)
    name = str(options.pop("name", ""))
    kind = known.get(name) or _imported(name, field)
    if kind is None:
        raise ValueError(f"{field}: {name!r}: must be one of {', '.join(sorted(known))}, or the dotted path of a class")
    if taken := options.keys() & fixed.keys():
        raise ValueError(f"{field}: {part!r}: {', '.join(sorted(taken))} is set by the network")
    try:
        return kind(*args, **fixed, **options)
    except TypeError as error:
        raise ValueError(f"{field}: {part!r}: {error}") from error


def _imported(path: str, field: str) -> Any:
    module, _, name = path.rpartition(".")
    if not module:
        return None
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, TypeError) as error:  # the last for a path that begins with a dot
        raise ValueError(f"{field}: {path!r}: cannot be imported: {error}") from error
