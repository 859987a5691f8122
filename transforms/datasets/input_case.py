"""A case to predict, and which DICOM series of a folder or zip it is read from."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.dicom.series import ZIP_EXTENSION, DicomFolder, open_series


@dataclass(frozen=True)
class InputCase:
    """A case to predict.

    Args:
        name: name of its results.
        images: a volume with all channels, or one per channel; DICOM as a `DicomFolder`.
    """

    name: str
    images: tuple[Path | DicomFolder, ...]

    @property
    def entry(self) -> dict[Hashable, Any]:
        """The case as a dictionary for a pipeline: `case` and `image`."""
        images = [image if isinstance(image, DicomFolder) else str(image) for image in self.images]
        return {"case": self.name, "image": images[0] if len(images) == 1 else images}

    def notes(self) -> list[str]:
        """Return what reading its DICOM series chooses, skips or corrects, a line each.

        Raises:
            VolumeError: a series cannot be read.
        """
        lines: list[str] = []
        for image in self.images:
            if isinstance(image, DicomFolder):
                with open_series(image) as series:
                    lines += series.notes
        return lines


@dataclass(frozen=True, kw_only=True)
class DicomChoice:
    """What to read from folders and zips with DICOM.

    Args:
        channels: number of channels that the network takes.
        series: series to read, by UID or number: one, or one per channel; empty to choose those that fit.
        modalities: modality of each channel in DICOM, such as CT; empty or None if not known.
        fill_gaps: interpolate a missing slice.

    Raises:
        ValueError: there are several series, but not one per channel.
    """

    channels: int = 1
    series: Sequence[str] = ()
    modalities: Sequence[str | None] = ()
    fill_gaps: bool = False

    def __post_init__(self) -> None:
        if len(self.series) not in (0, 1, self.channels):
            raise ValueError(
                f"series: {','.join(self.series)}: must be one, or one for each of {self.channels} channels"
            )

    def channel(self, place: Path, index: int) -> DicomFolder:
        """Return what to read from a folder or zip that has a channel."""
        series = (self.series[index % len(self.series)] or None) if self.series else None
        modality = self.modalities[index] if index < len(self.modalities) else None
        return DicomFolder(place, series, modality, self.fill_gaps, is_channel=self.channels > 1)

    def case(self, name: str, place: Path) -> InputCase:
        """Return the case in a folder or zip that has all channels.

        Raises:
            VolumeError: it is not known which series is which channel.
        """
        if self.channels > 1 and len(self.series) < 2 and not self.tells_channels:
            rule = "name the series of each, --series UID,UID, or list their folders (.csv)"
            raise VolumeError(place, f"one folder for {self.channels} channels", rule)
        return InputCase(name, tuple(self.channel(place, index) for index in range(self.channels)))

    @property
    def tells_channels(self) -> bool:
        """Whether each channel has a modality of its own."""
        known = set(self.modalities) - {None}
        return self.channels == len(self.modalities) == len(known)


def is_zip(path: Path) -> bool:
    """Return whether a file is a zip by its name."""
    return path.suffix.lower() == ZIP_EXTENSION and not path.name.startswith(".") and path.is_file()
