"""Pack a bundle and the code it needs into one zip; the same bundle always gives the same bytes.

The packages that configs may name are in the bundle's own folder as `hybridseg/`, without the commands. Unlike the
installed HybridSeg, this package has an `__init__.py`. So if the bundle's folder is on the path, Python takes the
packed code before an installed HybridSeg, and never mixes the two.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import distribution, version
from importlib.resources import files
from pathlib import Path
from pkgutil import resolve_name
from string import Template
from typing import Any

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.atomic import replacing
from hybridseg.transforms.io.json_files import read_json

from .config import HYBRIDSEG_NAME, read_config, strings

PACKAGE = "hybridseg"
PACKED = ("networks", "transforms", "app.training", "app.evaluation", "app.labels", "app.runtime")
"""The packages that are packed whole; of `bundles` and `app` only the `__init__.py` is."""
PARTS = ("LICENSE", "configs", "docs", "models", "scripts")
"""The parts of a bundle's folder that are packed; runs, data and caches beside them are not."""
COMMAND_LINE = "fire"
"""What `python -m monai.bundle` needs besides MONAI."""
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The time of every file: the first that a zip can hold."""
INIT = '''"""The part of HybridSeg {version} that the bundle {bundle} needs, packed with it; see RUN.md."""
'''


def pack_bundle(bundle: Path, output: Path) -> list[str]:
    """Write the zip.

    Args:
        bundle: folder of the bundle.
        output: the file; an existing one is replaced once the new one is complete.

    Returns:
        The names of the modules in the zip.

    Raises:
        VolumeError: a config cannot be read, or names code that is not packed; a file of the bundle is a link to
            somewhere else; the zip is in the bundle's folder, or cannot be written.
    """
    if output.resolve().is_relative_to(bundle.resolve()):
        raise VolumeError(output, "is in the bundle's folder", "must be outside, where it is not packed itself")
    check_configs(bundle)
    own = bundle_files(bundle)
    own |= {name: hide_dataset_path(text) for name, text in own.items() if re.fullmatch(r"configs/[^/]+\.json", name)}
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


def check_configs(bundle: Path) -> None:
    """Check that all code of HybridSeg that the bundle's configs name exists and is packed.

    Raises:
        VolumeError: a config cannot be read, or names other code.
    """
    packages = [f"{PACKAGE}.{package}" for package in ("bundles", *PACKED)]
    for config in sorted((bundle / "configs").glob("*.json")):
        if config.name == "metadata.json":
            continue
        for name in (name for text in strings(read_config(config)) for name in HYBRIDSEG_NAME.findall(text)):
            if not any(f"{name}.".startswith(f"{package}.") for package in packages):
                raise VolumeError(config, name, f"must be in a package that is packed: {', '.join(packages)}")
            try:
                resolve_name(name)
            except (ImportError, AttributeError) as error:
                raise VolumeError(config, name, f"must be a name of HybridSeg {version(PACKAGE)}") from error


def bundle_files(bundle: Path) -> dict[str, bytes]:
    """Read the bundle's own files: their contents by path within the bundle.

    Raises:
        VolumeError: a file or folder is a link to something outside the bundle, which would be packed unnoticed, or to
            nothing.
    """
    found = [path for part in PARTS for path in (bundle / part, *(bundle / part).rglob("*"))]
    hidden = (".", "__pycache__")
    kept = [path for path in found if not any(part.startswith(hidden) for part in path.relative_to(bundle).parts)]
    for path in kept:
        inside = path.resolve().is_relative_to(bundle.resolve())
        if path.is_symlink() and not (inside and path.is_file()):
            raise VolumeError(path, f"a link to {path.readlink()}", "must link to a file of the bundle, or be a copy")
    return {path.relative_to(bundle).as_posix(): path.read_bytes() for path in kept if path.is_file()}


def hide_dataset_path(config: bytes) -> bytes:
    """Shorten an absolute `dataset_dir` in the text of a config to the folder's name.

    The full path is of no use elsewhere, and gives away names of this computer and its user.
    """
    content = json.loads(config)
    path = content.get("dataset_dir") if isinstance(content, dict) else None
    if not isinstance(path, str) or not Path(path).is_absolute():
        return config
    after = json.dumps(f"./{Path(path).name}", ensure_ascii=False).encode()
    for escaped in (False, True):  # HybridSeg writes non-ASCII characters as they are, most other programs escape them
        config = config.replace(json.dumps(path, ensure_ascii=escaped).encode(), after)
    return config


def packed_code() -> dict[str, bytes]:
    """Read the packages that are packed with every bundle: the contents of their files by path in the zip."""
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
    """Return the dotted name of a module from its path in the zip."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def packed_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of the packed bundle: they require MONAI's command line, and not HybridSeg."""
    packages: Mapping[str, str] = metadata.get("required_packages_version", {})
    kept = {name: wanted for name, wanted in packages.items() if name != PACKAGE}
    return {**metadata, "required_packages_version": kept | {COMMAND_LINE: version(COMMAND_LINE)}}


def requirements(metadata: Mapping[str, Any]) -> Iterable[str]:
    """Return what pip must install for a packed bundle."""
    named = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
    versions = {name: metadata[key] for name, key in named.items() if key in metadata}
    return [f"{name}=={wanted}" for name, wanted in (versions | metadata["required_packages_version"]).items()]


def run_instructions(bundle: str, metadata: Mapping[str, Any]) -> str:
    """Return the text of `RUN.md`."""
    template = Path(__file__).with_name("packed_run.md").read_text(encoding="utf-8")
    return Template(template).substitute(bundle=bundle, packages=" ".join(requirements(metadata)))
