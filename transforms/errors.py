"""The error for a file that cannot be used, and the warning of one that may be wrong, each in one line."""

from __future__ import annotations

import os
import warnings

PathLike = str | os.PathLike[str]
"""A path as a string or a `Path`."""


class VolumeError(ValueError):
    """A file or folder that breaks a rule. Its message is one line, `<path>: <value>: <rule>`; the path is kept as is.

    Args:
        path: the file or folder.
        value: what was found.
        rule: what is required.

    Examples:
        >>> print(VolumeError("case.nii.gz", "3 voxels are not finite", "every voxel must be finite"))
        case.nii.gz: 3 voxels are not finite: every voxel must be finite
    """

    def __init__(self, path: PathLike, value: object, rule: str) -> None:
        super().__init__(path, value, rule)
        self.path = os.fspath(path)
        self.value = value
        self.rule = rule

    def __str__(self) -> str:
        return f"{self.path}: {' '.join(f'{self.value}: {self.rule}'.split())}"


def warn_of_volume(path: PathLike, value: object, doubt: str) -> None:
    """Warn of a file that is used although something may be wrong with it; commands print the line.

    Args:
        path: the file or folder.
        value: what was found.
        doubt: why that may be wrong.
    """
    warnings.warn(f"{os.fspath(path)}: {value}: {doubt}", stacklevel=1)
