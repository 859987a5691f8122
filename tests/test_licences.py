"""The locked dependencies have licences under which an Apache-2.0 program may use them."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
PERMISSIVE = re.compile(r"apache|bsd|mit\b|isc\b|mozilla|mpl|python software|psf|zlib", re.IGNORECASE)
COPYLEFT = re.compile(r"\b[AL]?GPL|GNU", re.IGNORECASE)


def installed() -> list[Distribution]:
    """Find the locked dependencies that are installed; extras may not be."""
    found = []
    for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines():
        try:
            found.append(distribution(line.partition("==")[0]))
        except PackageNotFoundError:
            continue
    return found


def licence(package: Distribution) -> str:
    """Return the licence that a package states: its expression and classifiers, or the first line of its text."""
    expressions, classifiers, texts = (
        package.metadata.get_all(field) or [] for field in ("License-Expression", "Classifier", "License")
    )
    known = [*expressions, *(entry for entry in classifiers if entry.startswith("License"))]
    return "; ".join(known) or "".join(texts).partition("\n")[0]


def test_locked_dependencies_have_permissive_licences() -> None:
    licences = {package.metadata["Name"]: licence(package) for package in installed()}
    assert len(licences) > 100
    unclear = {name: text for name, text in licences.items() if not PERMISSIVE.search(text) or COPYLEFT.search(text)}
    assert unclear == {}
