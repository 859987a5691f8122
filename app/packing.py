"""A bundle and the code that it needs as one zip, the same bytes each time.

The code lies in the bundle's own folder as the package `hybridseg`: only the modules that its configs name, and those
that these import. Unlike the installed one this package has an `__init__.py`, and so it is used whole or not at all:
Python takes it before an installed HybridSeg wherever the bundle's folder is on the path, and never joins the two.
"""

from __future__ import annotations

import ast
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import distribution, version
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any

from hybridseg.transforms.atomic import replacing
from hybridseg.transforms.datasets import read_json
from hybridseg.transforms.errors import VolumeError

PACKAGE = "hybridseg"
PARTS = ("LICENSE", "configs", "docs", "models", "scripts")
"""What a bundle's folder holds; runs, data and caches beside them stay out."""
COMMAND_LINE = "fire"
"""What `python -m monai.bundle` needs besides MONAI."""
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The time of every file: the first that a zip can tell."""
NAME = re.compile(rf"\b{PACKAGE}(?:\.\w+)+")
INIT = '''"""What the bundle {bundle} needs of HybridSeg {version}, packed with it; see RUN.md."""
'''


def pack_bundle(bundle: Path, output: Path) -> list[str]:
    """Write the zip.

    Args:
        bundle: folder of the bundle.
        output: the file; what is there is replaced, when the new one is whole.

    Returns:
        The names of the modules that went with it.

    Raises:
        VolumeError: a config cannot be read, or names code of HybridSeg that there is not; the file cannot be written.
    """
    files = bundle_files(bundle)
    modules = needed_modules(bundle)
    files |= {name: without_place(text) for name, text in files.items() if re.fullmatch(r"configs/[^/]+\.json", name)}
    folders = {path.parent for path in modules.values()}
    code = {module_file(name, path): path.read_bytes() for name, path in modules.items()}
    code |= {f"{PACKAGE}/{folder.name}/py.typed": b"" for folder in folders}
    code[f"{PACKAGE}/__init__.py"] = INIT.format(bundle=bundle.name, version=version(PACKAGE)).encode()
    code[f"{PACKAGE}/LICENSE"] = (distribution(PACKAGE).read_text("licenses/LICENSE") or "").encode()
    metadata = packed_metadata(read_json(bundle / "configs" / "metadata.json"))
    files["configs/metadata.json"] = (json.dumps(metadata, indent=4, ensure_ascii=False) + "\n").encode()
    files["RUN.md"] = run_instructions(bundle.name, metadata).encode()
    try:
        with replacing(output) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in sorted((files | code).items()):
                entry = zipfile.ZipInfo(f"{bundle.name}/{name}", EARLIEST)
                entry.create_system, entry.external_attr = 3, 0o644 << 16  # a Unix file that its owner may write
                archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    except OSError as error:
        raise VolumeError(output, error.strerror or error, "must be a file that can be written") from error
    return sorted(modules)


def bundle_files(bundle: Path) -> dict[str, bytes]:
    """The contents of the bundle's own files, by their path within it."""
    found = [path for part in PARTS for path in (bundle / part, *(bundle / part).rglob("*")) if path.is_file()]
    hidden = (".", "__pycache__")
    kept = [path for path in found if not any(part.startswith(hidden) for part in path.relative_to(bundle).parts)]
    return {path.relative_to(bundle).as_posix(): path.read_bytes() for path in kept}


def without_place(config: bytes) -> bytes:
    """The text of a config in which an absolute `dataset_dir` is the folder's name only: where it lay tells others of
    this computer and its user, and is of no use to them.
    """
    content = json.loads(config)
    place = content.get("dataset_dir") if isinstance(content, dict) else None
    if not isinstance(place, str) or not Path(place).is_absolute():
        return config
    after = json.dumps(f"./{Path(place).name}", ensure_ascii=False).encode()
    for escaped in (False, True):  # as HybridSeg writes what is beyond ASCII, and as most other programs do
        config = config.replace(json.dumps(place, ensure_ascii=escaped).encode(), after)
    return config


def needed_modules(bundle: Path) -> dict[str, Path]:
    """The modules of HybridSeg that the bundle's configs name, and all that these import: their files by name."""
    needed: dict[str, Path] = {}
    for config in sorted((bundle / "configs").glob("*.json")):
        if config.name == "metadata.json":
            continue
        for text in texts(read_json(config)):
            for name in NAME.findall(text):
                if not (module := containing_module(name)):
                    raise VolumeError(config, name, f"must be a part of HybridSeg {version(PACKAGE)}")
                add_module(module, needed)
    return needed


def texts(config: Any) -> Iterator[str]:
    """Every text in a config."""
    if isinstance(config, str):
        yield config
    elif isinstance(config, dict | list):
        for value in config.values() if isinstance(config, dict) else config:
            yield from texts(value)


def containing_module(name: str) -> str | None:
    """The module that a dotted name means or lies in, such as `hybridseg.networks` for `hybridseg.networks.Part`."""
    while name != PACKAGE:
        parent, _, _ = name.rpartition(".")
        is_package = parent == PACKAGE or ((found := find_spec(parent)) and found.submodule_search_locations)
        if is_package and (spec := find_spec(name)) and spec.origin:
            return name
        name = parent
    return None


def add_module(name: str, needed: dict[str, Path]) -> None:
    """Add a module, the package that it lies in, and what the two import."""
    if name == PACKAGE or name in needed:
        return
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return
    needed[name] = Path(spec.origin)
    package = name if spec.submodule_search_locations else name.rpartition(".")[0]
    for imported in (package, *imports(needed[name], package)):
        if module := containing_module(imported):
            add_module(module, needed)


def imports(path: Path, package: str) -> Iterator[str]:
    """What of HybridSeg a module imports, anywhere in it, except for type checkers; names within modules too."""
    for node in statements(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            module = ".".join(filter(None, (above, node.module)))
            modules = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in modules if name.startswith(f"{PACKAGE}."))


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a syntax tree but those under `if TYPE_CHECKING:`."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from statements(child)


def module_file(name: str, path: Path) -> str:
    """Where a module lies in the packed bundle."""
    folder = name.replace(".", "/")
    return f"{folder}/__init__.py" if path.name == "__init__.py" else f"{folder}.py"


def packed_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of the packed bundle, which needs no HybridSeg, but what MONAI's command line is made with."""
    packages: Mapping[str, str] = metadata.get("required_packages_version", {})
    kept = {name: wanted for name, wanted in packages.items() if name != PACKAGE}
    return {**metadata, "required_packages_version": kept | {COMMAND_LINE: version(COMMAND_LINE)}}


def requirements(metadata: Mapping[str, Any]) -> Iterable[str]:
    """What pip installs for a packed bundle."""
    named = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
    versions = {name: metadata[key] for name, key in named.items() if key in metadata}
    return [f"{name}=={wanted}" for name, wanted in (versions | metadata["required_packages_version"]).items()]


def run_instructions(bundle: str, metadata: Mapping[str, Any]) -> str:
    """The text of `RUN.md`."""
    template = Path(__file__).with_name("packed_run.md").read_text(encoding="utf-8")
    return Template(template).substitute(bundle=bundle, packages=" ".join(requirements(metadata)))
