"""Packages that only some features need: each extra of HybridSeg installs some of them."""

from __future__ import annotations


def install_command(extra: str) -> str:
    """Return how to install an extra such as `dicom`; package indexes do not have HybridSeg.

    Examples:
        >>> install_command("dicom")
        "pip install '.[dicom]' in a clone of HybridSeg, or 'FILE.whl[dicom]' with its wheel"
    """
    return f"pip install '.[{extra}]' in a clone of HybridSeg, or 'FILE.whl[{extra}]' with its wheel"
