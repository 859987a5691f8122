"""Rooms hand on public names that exist, and import their modules on first use."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pkgutil import iter_modules

import pytest

import hybridseg.app

ROOMS = [f"hybridseg.app.{module.name}" for module in iter_modules(hybridseg.app.__path__) if module.ispkg]


@pytest.mark.parametrize("name", ["hybridseg.app", *ROOMS])
def test_every_public_name_exists(name: str) -> None:
    package = import_module(name)
    names = getattr(package, "__all__", [])
    assert [public for public in names if not hasattr(package, public)] == []
    assert names == sorted(names)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'hybridseg\.app' has no attribute 'Segment'"):
        _ = hybridseg.app.Segment


def test_importing_the_rooms_imports_no_torch() -> None:
    program = f"import sys, {', '.join(ROOMS)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
