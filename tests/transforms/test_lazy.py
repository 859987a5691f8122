"""Packages import the modules of their public names on first use."""

from __future__ import annotations

import subprocess
import sys
from pkgutil import iter_modules

import pytest

import hybridseg.app

PACKAGES = [f"hybridseg.app.{module.name}" for module in iter_modules(hybridseg.app.__path__) if module.ispkg]


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'hybridseg\.app' has no attribute 'Segment'"):
        _ = hybridseg.app.Segment


def test_importing_the_packages_imports_no_torch() -> None:
    program = f"import sys, {', '.join(PACKAGES)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
