"""Pack a bundle and the code that it needs into one zip, the same bytes each time.

The code lies in the bundle's own folder as the package `hybridseg`: the packages that configs may name, without the
commands. Unlike the installed one this package has an `__init__.py`, so Python takes it whole, before an installed
HybridSeg, wherever the bundle's folder is on the path, and never mixes the two.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import distribution, version
from importlib.resources import files
from pathlib import Path
from pkgutil import resolve_name
from string import Template
from typing import Any

from hybridseg.transforms.datasets.dataset import read_json
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.atomic import replacing

PACKAGE = "hybridseg"
PACKED = ("networks", "transforms", "app.training", "app.evaluation", "app.labels", "app.runtime")
"""The packages that go with a bundle whole; `bundles` and `app` go with their `__init__.py` alone."""
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
        The names of the modules in the zip.

    Raises:
        VolumeError: a config cannot be read, or names code that is not packed; the file cannot be written.
    """
    check_configs(bundle)
    own = bundle_files(bundle)
    own |= {name: without_place(text) for name, text in own.items() if re.fullmatch(r"configs/[^/]+\.json", name)}
    code = packed_code()
    code[f"{PACKAGE}/__init__.py"] = INIT.format(bundle=bundle.name, version=version(PACKAGE)).encode()
    code[f"{PACKAGE}/LICENSE"] = (distribution(PACKAGE).read_text("licenses/LICENSE") or "").encode()
    metadata = packed_metadata(read_json(bundle / "configs" / "metadata.json"))
    own["configs/metadata.json"] = (json.dumps(metadata, indent=4, ensure_ascii=False) + "\n").encode()
    own["RUN.md"] = run_instructions(bundle.name, metadata).encode()
    try:
        with replacing(output) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in sorted((own | code).items()):
                entry = zipfile.ZipInfo(f"{bundle.name}/{name}", EARLIEST)
                entry.create_system, entry.external_attr = 3, 0o644 << 16  # a Unix file that its owner may write
                archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    except OSError as error:
        raise VolumeError(output, error.strerror or error, "must be a file that can be written") from error
    return sorted(module_name(path) for path in code if path.endswith(".py"))


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


def packed_code() -> dict[str, bytes]:
    """Read the packages that go with every bundle: the contents of their files, by path in the zip."""
    code = {}
    for package in ("bundles", "app", *PACKED):
        folder = Path(str(files(f"{PACKAGE}.{package}")))
        found = folder.rglob("*") if package in PACKED else [folder / "__init__.py", folder / "py.typed"]
        for path in found:
            if path.is_file() and path.suffix != ".pyc":
                name = f"{PACKAGE}/{package.replace('.', '/')}/{path.relative_to(folder).as_posix()}"
                code[name] = path.read_bytes()
    return code


def module_name(path: str) -> str:
    """Return the dotted name of a module by its path in the zip."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def check_configs(bundle: Path) -> None:
    """Check that all code of HybridSeg that the bundle's configs name is packed.

    Raises:
        VolumeError: a config cannot be read, or names code that is not packed.
    """
    for config in sorted((bundle / "configs").glob("*.json")):
        if config.name == "metadata.json":
            continue
        for text in texts(read_json(config)):
            for name in NAME.findall(text):
                if not is_packed(name):
                    raise VolumeError(
                        config, name, f"must be a part of HybridSeg {version(PACKAGE)} other than a command"
                    )


def is_packed(name: str) -> bool:
    """Say whether a dotted name exists and lies in a package that is packed."""
    packages = (PACKAGE + "." + package for package in ("bundles", *PACKED))
    if not any(f"{name}.".startswith(f"{package}.") for package in packages):
        return False
    try:
        resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def texts(config: Any) -> Iterator[str]:
    """Yield every text in a config."""
    if isinstance(config, str):
        yield config
    elif isinstance(config, dict | list):
        for value in config.values() if isinstance(config, dict) else config:
            yield from texts(value)


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
