"""Choose one of the series in a folder: the one that is named, or the only one that fits.

A series fits if it has the modality that is wanted. Of several, localisers and sagittal or coronal ones are set aside
if others are left, then the one with most slices is chosen; if several have as many, one must be named. Series are
listed by UID and number, never by description: these may name patients.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hybridseg.transforms.errors import PathLike, VolumeError

from .slices import Instance, Slice

NO_SCANS = ("SEG", "RTDOSE")
"""Modalities of images that are made from scans; they are read only if they are named."""

AXIAL = np.cos(np.pi / 4)
"""Least part of the normal along the body's axis."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Slices that may be a volume: a series, or one of its volumes, such as one of several times.

    Args:
        parts: the files, or the frames of multi-frame files.
        first: the first file, which has the modality.
        ordinal: position from 1 among the volumes of its series; 0 if it is the only one.
        about: what tells it from the others of its series, such as `b 1000`.
    """

    parts: Sequence[Instance] | Sequence[Slice]
    first: Instance
    ordinal: int = 0
    about: str = ""

    @property
    def suffix(self) -> str:
        """What follows the name of its series: `/2` for the second of several volumes."""
        return f"/{self.ordinal}" if self.ordinal else ""

    @property
    def names(self) -> tuple[str, str]:
        """What it may be chosen by: SeriesInstanceUID and SeriesNumber."""
        return f"{self.first.series}{self.suffix}", f"{self.first.number}{self.suffix}"

    @property
    def modality(self) -> str:
        """Modality, such as CT."""
        return self.first.modality

    @property
    def is_localiser(self) -> bool:
        """Whether ImageType says so."""
        return "LOCALIZER" in self.first.header.text.get("ImageType", "").upper().split("\\")

    @property
    def is_axial(self) -> bool:
        """Whether its first slice is nearer to the axial plane than to others; False if its orientation is unknown."""
        part = self.parts[0]
        if isinstance(part, Slice):
            orientation = part.orientation.ravel().tolist()
        else:
            try:
                orientation = [float(number) for number in part.header.text["ImageOrientationPatient"].split("\\")]
            except (KeyError, ValueError):
                return False
        return len(orientation) == 6 and abs(np.cross(orientation[:3], orientation[3:])[2]) > AXIAL

    @property
    def count(self) -> int:
        """Slices, as claimed by the headers."""
        return sum(1 if isinstance(part, Slice) else part.frames for part in self.parts)

    def __str__(self) -> str:
        number = (
            f"number {self.names[1]}" if self.first.number and self.first.header.text.get("SeriesInstanceUID") else ""
        )
        details = ", ".join(filter(None, (number, self.modality, self.about)))
        return f"{self.names[0]} ({', '.join(filter(None, (details, f'{self.count} slices')))})"


def choose(source: PathLike, scans: Sequence[Scan], *, series: str | None, modality: str | None) -> Scan:
    """Choose a scan.

    Args:
        source: the folder or zip, for errors.
        scans: those found.
        series: UID or number of the series, and `/2` for the second of its volumes; None chooses one that fits.
        modality: the modality wanted; None takes any.

    Raises:
        VolumeError: the series is not there, none fits, or several fit.
    """
    if series is not None:
        found = [scan for scan in scans if series in (*scan.names, scan.first.series, scan.first.number)]
        if not found:
            raise VolumeError(source, f"no series {series!r}", f"must be one of {listed(scans)}")
    else:
        found = [scan for scan in scans if scan.modality not in NO_SCANS] or list(scans)
    if series is None and modality is not None:
        fitting = [scan for scan in found if scan.modality in ("", modality)]
        if not fitting:
            raise VolumeError(source, f"no {modality} series", f"choose one of {listed(scans)}")
        for remaining in (
            [scan for scan in fitting if not scan.is_localiser],
            [scan for scan in fitting if not scan.is_localiser and scan.is_axial],
        ):
            fitting = remaining or fitting
        most = max(scan.count for scan in fitting)
        found = [scan for scan in fitting if scan.count == most]
    if len(found) > 1:
        raise VolumeError(source, f"{len(found)} series", f"choose one of {listed(found)}")
    return found[0]


def listed(scans: Iterable[Scan]) -> str:
    """List scans in one line, for a person to choose from."""
    return ", ".join(map(str, scans))
