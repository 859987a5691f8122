"""New Python environments that hold some of the packages of this one, and nothing else: linked, not downloaded."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement


def make_environment(folder: Path, requirements: Iterable[str]) -> Path:
    """Make an environment with packages and all that these require, without pip.

    Args:
        folder: folder of the environment; created.
        requirements: the packages, such as `monai>=1.6` or `hybridseg[export]`; installed here.

    Returns:
        Its Python.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.run([python, "-c", purelib], check=True, capture_output=True, text=True).stdout.strip())
    here = Path(sysconfig.get_path("purelib"))
    for found in required(requirements):
        for name in {file.parts[0] for file in found.files or ()} - {".."}:
            if not (packages / name).exists():  # several packages may share a folder
                (packages / name).symlink_to(here / name)
    return python


def required(requirements: Iterable[str]) -> Iterator[Distribution]:
    """Yield packages and all that they require, as installed here."""
    waiting, seen = [Requirement(text) for text in requirements], set()
    while waiting:
        wanted = waiting.pop()
        key = (wanted.name.lower(), *sorted(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        found = distribution(wanted.name)
        assert wanted.specifier.contains(found.version, prereleases=True), f"{wanted}: {found.version} is installed"
        yield found
        needed = [Requirement(text) for text in found.requires or ()]
        waiting += [
            other
            for other in needed
            if other.marker is None or any(other.marker.evaluate({"extra": extra}) for extra in (*wanted.extras, ""))
        ]
