"""The examples in the docstrings do what they show, and every module imports by its public name."""

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = ("hybridseg.app", "hybridseg.bundles", "hybridseg.networks", "hybridseg.transforms")
NEEDS = {"hybridseg.app.figures.widgets": ("anywidget", "ipywidgets")}
"""Packages that a module imports and that are not installed with HybridSeg."""


def module_names() -> list[str]:
    """Name the packages and their modules, but for `__main__`, which runs the program."""
    names = [*PACKAGES]
    for package in PACKAGES:
        found = pkgutil.walk_packages(importlib.import_module(package).__path__, prefix=f"{package}.")
        names += [module.name for module in found if not module.name.endswith(".__main__")]
    return names


@pytest.mark.parametrize("name", module_names())
def test_examples(name: str) -> None:
    for package in NEEDS.get(name, ()):
        pytest.importorskip(package)
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0
