"""The folders show the architecture: what may depend on what, where tests lie, and which names are public."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("app", "networks", "transforms")
BELOW: dict[str, set[str]] = {"networks": set(), "transforms": set(), "app": {"bundles", "networks", "transforms"}}
"""The other packages that each package may import."""


def modules(package: str) -> Iterator[Path]:
    """Yield the files of a package, relative to the root, without those that only hand on names."""
    for path in sorted((ROOT / package).rglob("*.py")):
        if path.name not in ("__init__.py", "__main__.py"):
            yield path.relative_to(ROOT)


def imported(path: Path) -> Iterator[tuple[str, ...]]:
    """Yield what of HybridSeg a file imports anywhere in it, as parts after `hybridseg`."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
            yield from (parts[1:] for parts in names if parts[0] == "hybridseg")
        elif isinstance(node, ast.ImportFrom):
            module = tuple(filter(None, (node.module or "").split(".")))
            if node.level:
                module = ("hybridseg", *path.parent.parts[: len(path.parent.parts) - node.level + 1], *module)
            if module[0] == "hybridseg":
                yield from ((*module[1:], alias.name) for alias in node.names)


def definition(parts: tuple[str, ...]) -> Path:
    """Return the file that defines a dotted name, relative to the root: not the `__init__.py` that hands it on."""
    folder = Path(parts[0])
    for index, part in enumerate(parts[1:], 1):
        if (ROOT / folder / f"{part}.py").is_file():
            return folder / f"{part}.py"
        if not (ROOT / folder / part).is_dir():
            handed_on = [name for name in imported(folder / "__init__.py") if name[-1] == part]
            return definition(handed_on[0]) if handed_on else folder / "__init__.py"
        folder = Path(*parts[: index + 1])
    return folder / "__init__.py"


def place(path: Path) -> str:
    """Return the folder of a package that a file lies in, or the file if it lies beside the folders."""
    return Path(*path.parts[:2]).as_posix()


def circle(graph: dict[str, set[str]]) -> str:
    """Return a circle of a graph as text; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " -> ".join(error.args[1])
    return ""


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_packages_below(package: str) -> None:
    used = {(str(path), parts[0]) for path in modules(package) for parts in imported(path)}
    assert [(path, other) for path, other in sorted(used) if other not in BELOW[package] | {package}] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_folders_and_files_do_not_import_in_circles(package: str) -> None:
    folders: dict[str, set[str]] = {}
    files: dict[str, set[str]] = {}
    for path in modules(package):
        found = {definition(parts) for parts in imported(path) if parts[0] == package}
        files[str(path)] = {str(other) for other in found}
        folders.setdefault(place(path), set()).update({place(other) for other in found} - {place(path)})
    assert (circle(folders), circle(files)) == ("", "")


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_imports_through_a_folder_it_lies_in(package: str) -> None:
    through = [
        (str(path), ".".join(parts))
        for path in modules(package)
        for parts in imported(path)
        if path.is_relative_to(Path(*parts[:-1])) and definition(parts) != Path(*parts).with_suffix(".py")
    ]
    assert through == []


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_are_relative_within_a_folder_and_below(package: str) -> None:
    absolute = [
        f"{path}: {node.module}"
        for path in modules(package)
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and f"{node.module}.".startswith(f"hybridseg.{'.'.join(path.parent.parts)}.")
    ]
    assert absolute == []


@pytest.mark.parametrize("package", PACKAGES)
def test_test_files_mirror_the_tree(package: str) -> None:
    strays = []
    for path in sorted((ROOT / "tests" / package).rglob("test_*.py")):
        folder = ROOT / path.parent.relative_to(ROOT / "tests")
        subjects = {entry.stem for entry in folder.glob("*") if not entry.name.startswith("_")}
        name = path.stem.removeprefix("test_")
        if not any(name == subject or name.startswith(f"{subject}_") for subject in subjects):
            strays.append(str(path.relative_to(ROOT)))
    assert strays == []


@pytest.mark.parametrize("package", [*PACKAGES, "bundles"])
def test_links_for_type_checkers_resolve(package: str) -> None:
    assert (ROOT / ".typing" / "hybridseg" / package).resolve() == ROOT / package


FOLDERS = sorted(
    path.parent.relative_to(ROOT).as_posix() for name in PACKAGES for path in (ROOT / name).rglob("__init__.py")
)
LAZY = [folder for folder in FOLDERS if "lazy_names(" in (ROOT / folder / "__init__.py").read_text(encoding="utf-8")]
"""The folders whose public names are imported when they are first used."""


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_say_their_purpose_and_public_names(folder: str) -> None:
    package = importlib.import_module(f"hybridseg.{folder.replace('/', '.')}")
    assert package.__doc__
    assert package.__doc__.splitlines()[0].endswith((".", ":"))
    for name in package.__all__:
        assert getattr(package, name) is not None


@pytest.mark.parametrize("folder", LAZY)
def test_lazy_names_are_those_type_checkers_see(folder: str) -> None:
    tree = ast.parse((ROOT / folder / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        node.module: sorted(alias.name for alias in node.names)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    }
    (call,) = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "lazy_names")
    lazy = {module: sorted(names) for module, names in ast.literal_eval(call.args[1]).items()}
    assert lazy == seen
    package = importlib.import_module(f"hybridseg.{folder.replace('/', '.')}")
    assert {name for names in lazy.values() for name in names} <= set(package.__all__)


@pytest.mark.parametrize("package", PACKAGES)
def test_map_of_the_code_names_what_exists(package: str) -> None:
    page = (ROOT / "docs" / "concepts" / "architecture.md").read_text(encoding="utf-8")
    section = page.split(f"\n## {package}\n")[1].split("\n## ")[0]
    named = [name for row in re.findall(r"^\| (`.*?) \|", section, re.M) for name in re.findall(r"`(.*?)`", row)]
    folders = {f"{path.name}/" for path in (ROOT / package).iterdir() if (path / "__init__.py").is_file()}
    assert [name for name in named if not (ROOT / package / name).exists()] == []
    assert folders <= set(named)
