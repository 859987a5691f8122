"""What a prepared case depends on, as short digests: the content of its files, the preprocessing, and the code."""

from __future__ import annotations

import functools
import json
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from hashlib import file_digest, sha256
from importlib.metadata import PackageNotFoundError, version
from inspect import getsourcefile
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
import torch

from hybridseg.transforms.errors import PathLike
from hybridseg.transforms.io.atomic import replacing
from hybridseg.transforms.io.itk_stored import data_files
from hybridseg.transforms.io.names import ITK_EXTENSIONS, volume_extension

TRANSFORMS = Path(__file__).parents[1]
SETTLED_SECONDS = 2.0
"""Age of a file from which its size and time of change tell whether it has changed; younger ones are read again."""


def digest(*parts: str) -> str:
    """Return 32 hexadecimal digits for some texts."""
    return sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:32]


@dataclass(frozen=True)
class Source:
    """A file of a case, as it was when the case was prepared.

    Args:
        path: absolute path.
        size: bytes.
        changed: time of its last change, in nanoseconds.
    """

    path: str
    size: int
    changed: int

    def is_current(self) -> bool:
        """Return whether the file is still the same, by its size and time of change."""
        with suppress(OSError):
            return source(self.path) == self
        return False


def source(path: PathLike) -> Source:
    """Describe a file now.

    Raises:
        OSError: there is no such file.
    """
    status = os.stat(path)
    return Source(os.path.abspath(path), status.st_size, status.st_mtime_ns)


def files_of(value: Any) -> Iterator[Path]:
    """Yield the files that an entry of a case names: paths, also in lists and dataclasses; all files of a folder.

    The file of voxels that a header names (`.mhd`, detached `.nrrd`) follows it.
    """
    if is_dataclass(value) and not isinstance(value, type):
        for item in fields(value):
            if not is_text(part := getattr(value, item.name)):
                yield from files_of(part)
    elif isinstance(value, str | os.PathLike):
        path = Path(value)
        with suppress(OSError, ValueError):  # a text that cannot be a path
            if path.is_dir():
                yield from sorted(file for file in path.rglob("*") if file.is_file())
            elif path.is_file():
                yield path
                if volume_extension(path) in ITK_EXTENSIONS:
                    yield from data_files(path)
    elif isinstance(value, Mapping | Sequence | Set):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from files_of(item)


def is_text(part: Any) -> bool:
    """Return whether a part of a dataclass names no file: "CT" is a modality, also where a folder is called so."""
    return isinstance(part, str) and not os.path.isabs(part)


class FileDigests:
    """Digests of the contents of files, remembered in a folder while a file's size and times of change stay the same.

    Args:
        folder: where they are remembered, one small file for each.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, path: Path) -> str:
        """Return the digest of a file.

        Raises:
            OSError: it cannot be read.
        """
        now = os.stat(path)
        changed = max(now.st_mtime_ns, now.st_ctime_ns)  # copies may keep the former
        memo = self.folder / f"{digest(os.path.abspath(path))}.json"
        with suppress(OSError, ValueError, KeyError, TypeError):
            known = json.loads(memo.read_text(encoding="utf-8"))
            if (known["size"], known["changed"]) == (now.st_size, changed):
                return str(known["digest"])
        found = read_digest(path)
        if time.time() - changed / 1e9 > SETTLED_SECONDS:
            with suppress(OSError), replacing(memo) as temporary:  # a full store may be read-only
                temporary.write_text(json.dumps({"size": now.st_size, "changed": changed, "digest": found}))
        return found


def read_digest(path: Path) -> str:
    """Return the digest of a file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def case_digest(case: Mapping[Any, Any], keys: Iterable[str], digests: Callable[[Path], str]) -> str:
    """Return the digest of the files that a case's entries name, and of other values; names of files do not count.

    Raises:
        OSError: a file cannot be read.
    """
    return digest(*(json.dumps([key, content(case[key], digests)]) for key in sorted(keys)))


def content(value: Any, digests: Callable[[Path], str]) -> Any:
    """Describe a value of a case: files by their content, everything else as it is, such as the labels of ROIs.

    Raises:
        OSError: a file cannot be read.
    """
    if is_dataclass(value) and not isinstance(value, type):
        parts = [(item.name, getattr(value, item.name)) for item in fields(value)]
        return [[name, part if is_text(part) else content(part, digests)] for name, part in parts]
    if isinstance(value, str | os.PathLike):
        return [*map(digests, files_of(value))] or str(value)
    if isinstance(value, Mapping):  # in order: the later of two patterns wins
        return [[str(key), content(item, digests)] for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [content(item, digests) for item in value]
    return Description()(value)


def recipe_digest(transforms: Sequence[Any]) -> str:
    """Return the digest of transforms: their classes and parameters, and the code behind them.

    Raises:
        ValueError: a parameter cannot be described.
    """
    description = Description()
    text = json.dumps(description(list(transforms)))
    return digest(text, *(f"{module}:{code_version(module)}" for module in sorted(description.modules)))


class Description:
    """Describes transforms and their parameters by what JSON can hold, the same in every process.

    Attributes:
        modules: the modules whose classes and functions were described.
    """

    def __init__(self) -> None:
        self.modules: set[str] = set()

    def __call__(self, value: Any) -> Any:
        """Describe a value.

        Raises:
            ValueError: it cannot be described.
        """
        if isinstance(value, Enum):
            return str(value)
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, np.random.RandomState | np.random.Generator):
            return None
        if isinstance(value, torch.Tensor | np.ndarray | np.generic):
            array = np.ascontiguousarray(value)
            return [str(array.dtype), list(array.shape), sha256(array.tobytes()).hexdigest()]
        if isinstance(value, functools.partial):
            return self([value.func, value.args, value.keywords])
        if isinstance(value, FunctionType):
            return [self.named(value), value.__code__.co_code.hex(), *map(self, self.constants(value))]
        if isinstance(value, type | BuiltinFunctionType):
            return self.named(value)
        if isinstance(value, Mapping):
            return {str(key): self(item) for key, item in sorted(value.items(), key=lambda pair: str(pair[0]))}
        if isinstance(value, Set):
            return sorted(json.dumps(self(item)) for item in value)
        if isinstance(value, list | tuple):
            return [self(item) for item in value]
        if isinstance(value, os.PathLike | torch.dtype | torch.device | np.dtype):
            return str(value)
        if hasattr(value, "__dict__"):
            lasting = {name: item for name, item in vars(value).items() if not isinstance(item, threading.local)}
            return [self.named(type(value)), self(lasting)]  # MONAI's transforms note their tracing once they are used
        try:
            return sha256(pickle.dumps(value)).hexdigest()
        except Exception as error:
            raise ValueError(f"preprocessing: {value!r}: must be a parameter that can be stored") from error

    def named(self, value: Any) -> str:
        """Return the dotted name of a class or function, and remember its module."""
        self.modules.add(value.__module__)
        return f"{value.__module__}.{value.__qualname__}"

    @staticmethod
    def constants(function: FunctionType) -> Iterator[Any]:
        """Yield the constants, names, defaults and enclosed variables of a function, which its code refers to."""
        code = function.__code__
        yield from (item for item in code.co_consts if item is None or isinstance(item, int | float | str | tuple))
        yield from (code.co_names, function.__defaults__, function.__kwdefaults__)
        yield from (cell.cell_contents for cell in function.__closure__ or ())


@functools.cache
def code_version(module: str) -> str:
    """Return the version of a module's package; of this project and of loose files, a digest of their sources."""
    root = module.partition(".")[0]
    if root == "hybridseg":
        return digest(*(path.read_text(encoding="utf-8") for path in sorted(TRANSFORMS.rglob("*.py"))))
    try:
        return version(root)
    except PackageNotFoundError:
        file = getsourcefile(sys.modules[module]) if module in sys.modules else None
        return digest(Path(file).read_text(encoding="utf-8")) if file else ""
