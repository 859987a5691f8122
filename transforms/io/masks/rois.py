"""Which ROI becomes which label: shell patterns for the names of ROIs, since exporters add suffixes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.grid import GREATEST_LABEL

Rois = Mapping[str, int]
"""Labels by pattern. Where the ROIs of two patterns overlap, the later pattern wins."""

MOST_NAMES = 40
"""Names that an error lists at most."""


def parse_rois(texts: Sequence[str]) -> dict[str, int]:
    """Parse `PATTERN=LABEL`, such as `GTV_Mass*=1`.

    Raises:
        ValueError: a text has another form, or a pattern occurs twice.
    """
    rois: dict[str, int] = {}
    for text in texts:
        pattern, _, label = text.rpartition("=")
        pattern = pattern.strip()
        if not pattern or not label.strip().isdecimal():
            raise ValueError(f"roi: {text!r}: must be PATTERN=LABEL, such as 'GTV*=1'")
        if pattern in rois:
            raise ValueError(f"roi: {pattern!r}: must be given once")
        rois[pattern] = int(label)
    check_rois(rois)
    return rois


def check_rois(rois: object) -> None:
    """Check that a mapping, which may come from a file, has labels by pattern.

    Raises:
        ValueError: it does not.
    """
    if not isinstance(rois, Mapping):
        raise ValueError(f'rois: {rois}: must be labels by ROI pattern, such as {{"GTV*": 1}}')
    for pattern, label in rois.items():
        sound = isinstance(pattern, str) and isinstance(label, int) and not isinstance(label, bool)
        if not sound or not 1 <= label <= GREATEST_LABEL:
            raise ValueError(f"rois: {pattern!r}: {label!r}: must be a label from 1 to {GREATEST_LABEL}")


def match_rois(path: PathLike, names: Sequence[str], rois: Rois) -> list[tuple[int, list[int]]]:
    """Find the ROIs of each pattern.

    Args:
        path: the file, for the error.
        names: of its ROIs.
        rois: labels by pattern; a pattern may also be a name as it is.

    Returns:
        For each pattern in order its label and the indices of the ROIs that match.

    Raises:
        VolumeError: no patterns, or none of the ROIs matches a pattern.
    """
    shown = ", ".join(map(repr, names[:MOST_NAMES])) + (", ..." if len(names) > MOST_NAMES else "")
    if not rois:
        raise VolumeError(
            path, f"ROIs {shown or 'none'}", "needs labels by ROI name: --roi 'NAME=1', or rois in dataset.json"
        )
    matched = []
    for pattern, label in rois.items():
        found = [index for index, name in enumerate(names) if name == pattern or fnmatchcase(name, pattern)]
        if not found:
            raise VolumeError(path, f"no ROI matches {pattern!r}", f"must be one of {shown or 'none'}")
        matched.append((label, found))
    return matched
