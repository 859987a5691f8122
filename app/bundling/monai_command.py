"""The command line by which MONAI runs the configs of a bundle."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from fire.parser import DefaultParseValue

from .config import literal

CONFIG_FILE = "--config_file"


def bundle_run(configs: Sequence[Path], overrides: Mapping[str, object], processes: int = 1) -> list[str]:
    """Return the command `python -m monai.bundle run`, under torchrun for several processes.

    Args:
        configs: the config, and those that MONAI lays over it.
        overrides: new values by key. A `Path` is quoted where needed; text goes to MONAI's command line as it is.
        processes: how many train together.

    Returns:
        The program and its arguments.
    """
    launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}", "--standalone"] if processes > 1 else []
    plain = len(configs) == 1 and as_word(configs[0]) == str(configs[0])
    files = str(configs[0]) if plain else json.dumps([str(path) for path in configs])
    options = [word for key, value in overrides.items() for word in (f"--{key}", as_word(value))]
    return [sys.executable, *launcher, "-m", "monai.bundle", "run", CONFIG_FILE, files, *options]


def as_word(value: object) -> str:
    """Return a value as a word of MONAI's command line: a path as `quoted`, text as it is."""
    return quoted(value) if isinstance(value, Path) else str(value)


def quoted(text: str | Path) -> str:
    """Return a word that MONAI's command line takes for exactly this text.

    Without quotes it would take `2024` for a number, and `a,b` for two words; `literal` escapes MONAI's own characters.
    """
    word = literal(text)
    return repr(word) if DefaultParseValue(word) != word else word


def show_command(command: Sequence[str]) -> str:
    """Return a command of `bundle_run` as a user would type it, each option on its own line."""
    _, *words = map(shlex.quote, command)
    first = words.index(CONFIG_FILE)
    options = [f"{name} {value}" for name, value in zip(words[first::2], words[first + 1 :: 2], strict=True)]
    return "    " + " \\\n        ".join([" ".join(["python", *words[:first]]), *options])
