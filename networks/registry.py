"""Build a part of the network from its name and options."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, TypeVar

from torch import nn

Part = str | Mapping[str, Any]
Built = TypeVar("Built", bound=nn.Module)


def build(part: Part, known: Mapping[str, type[Built]], base: type, field: str, *args: Any) -> Built:
    """Build a part of the network from its name and options.

    Args:
        part: a name, or a mapping of `name` and options; a name with a dot is the path of a class to import, such as
            `package.module.Class`.
        known: the classes by name.
        base: the class that an imported class must be derived from.
        field: the config's field, for messages.
        args: what the network passes to the constructor; the options follow as keywords.

    Raises:
        ValueError: `part` is neither a name nor a mapping, the name is unknown (the message lists the known ones), the
            imported class is not derived from `base`, or an option is unknown or wrong.
    """
    if not isinstance(part, str | Mapping):
        raise ValueError(f"{field}: {part!r}: must be a name, or a mapping of name and options")
    options = {"name": part} if isinstance(part, str) else dict(part)
    name = str(options.pop("name", ""))
    kind: Any = known.get(name) or _imported(name, base, field)
    if kind is None:
        raise ValueError(f"{field}: {name!r}: must be one of {', '.join(sorted(known))}, or the dotted path of a class")
    try:
        built: Built = kind(*args, **options)
    except TypeError as error:
        raise ValueError(f"{field}: {part!r}: {error}") from error
    return built


def _imported(path: str, base: type, field: str) -> Any:
    module, _, name = path.rpartition(".")
    if not module:
        return None
    try:
        kind = getattr(import_module(module), name)
    except (ImportError, AttributeError, TypeError) as error:  # TypeError: the path begins with a dot
        raise ValueError(f"{field}: {path!r}: cannot be imported: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise ValueError(f"{field}: {path!r}: must be a class derived from {base.__name__}")
    return kind
