"""What a bundle's network was trained on, as its `metadata.json` says, and whether a scan is like it.

A network segments any volume, also one of another modality or another part of the body, where its labels mean nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEY = "training_data"
METADATA = Path("configs") / "metadata.json"

PERCENTILES = (0.5, 99.5)
"""Between them lie the intensities of a volume; what lies outside is noise, metal and padding."""
MOST_VOXELS = 1 << 20
"""About so many voxels of a large volume, evenly spaced, are enough to measure these percentiles."""
AIR_HU = -1024.0
"""Lowest intensity of CT that counts: scanners pad with even lower ones."""

TOLERANCE = 0.2
"""By this share a scan may lie outside a range: lengths as shares of themselves, intensities of the whole range."""

AXES = ("left-right", "anterior-posterior", "superior-inferior")
UNITS = {"CT": "HU", "PT": "SUV"}
"""Modalities whose intensities have a unit, and so the same meaning in every scan."""

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What of a scan is compared.

    Args:
        extent_mm: length along left-right, anterior-posterior and superior-inferior.
        intensities: `PERCENTILES` of each channel, in the unit of the file.
        modalities: DICOM modality of each channel, such as CT or MR; empty if unknown, as in NIfTI.
    """

    extent_mm: tuple[float, float, float]
    intensities: tuple[Range, ...]
    modalities: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ChannelRange:
    """Ranges over all training volumes of the two `PERCENTILES` of a channel, in its unit."""

    lowest: Range
    highest: Range


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What a network was trained on; what is empty is not known, and not compared.

    Args:
        synthetic: whether the volumes are not of patients.
        modalities: DICOM modality of each channel.
        extent_mm: shortest and longest volume along left-right, anterior-posterior and superior-inferior.
        intensities: of each channel; None for a channel without a unit.
    """

    synthetic: bool = False
    modalities: tuple[str, ...] = ()
    extent_mm: tuple[Range, ...] = ()
    intensities: tuple[ChannelRange | None, ...] = ()

    @classmethod
    def of_scans(cls, scans: Sequence[Scan], modalities: Sequence[str], *, synthetic: bool = False) -> TrainingData:
        """Summarise the volumes of a dataset.

        Args:
            scans: at least one.
            modalities: of each channel.
            synthetic: whether the volumes are not of patients.
        """
        extents = np.array([scan.extent_mm for scan in scans])
        measured = np.array([scan.intensities for scan in scans])  # (volumes, channels, 2)
        channels = [
            ChannelRange(lowest=span(measured[:, channel, 0]), highest=span(measured[:, channel, 1]))
            if modality in UNITS
            else None
            for channel, modality in enumerate(modalities)
        ]
        return cls(
            synthetic=synthetic,
            modalities=tuple(modalities),
            extent_mm=tuple(span(extents[:, axis]) for axis in range(3)),
            intensities=tuple(channels),
        )

    @classmethod
    def read(cls, bundle: Path) -> TrainingData:
        """Read what the metadata of a bundle say; all is unknown if they say nothing.

        Raises:
            VolumeError: they are invalid.
        """
        from hybridseg.transforms.errors import VolumeError
        from hybridseg.transforms.io.json_files import read_json

        path = bundle / METADATA
        record = read_json(path).get(KEY, {}) if path.is_file() else {}
        try:
            return cls(
                synthetic=bool(record.get("synthetic", False)),
                modalities=tuple(map(str, record.get("modalities", ()))),
                extent_mm=tuple(as_range(pair) for pair in record.get("extent_mm", ())),
                intensities=tuple(
                    None
                    if channel is None
                    else ChannelRange(lowest=as_range(channel["lowest"]), highest=as_range(channel["highest"]))
                    for channel in record.get("intensities", ())
                ),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            rule = "must have synthetic, modalities, extent_mm and intensities, as hybridseg plan writes them"
            raise VolumeError(path, f"invalid {KEY}", rule) from error

    def record(self) -> dict[str, Any]:
        """Return the entry of `metadata.json`, without what is not known."""
        entry: dict[str, Any] = {"synthetic": self.synthetic, "modalities": list(self.modalities)}
        if self.extent_mm:
            entry["extent_mm"] = [list(pair) for pair in self.extent_mm]
        if any(self.intensities):
            entry["intensities"] = [
                None if channel is None else {"lowest": list(channel.lowest), "highest": list(channel.highest)}
                for channel in self.intensities
            ]
        return entry

    def differences(self, scan: Scan) -> list[str]:
        """Return what of a scan lies outside the training data, in a few words each."""
        found = []
        for index, (modality, known) in enumerate(zip(scan.modalities, self.modalities, strict=False)):
            if modality and modality != known:
                channel = f"channel {index} is " if len(self.modalities) > 1 else ""
                found.append(f"{channel}{modality} instead of {known}")
        for axis, length, (shortest, longest) in zip(AXES, scan.extent_mm, self.extent_mm, strict=False):
            if not (1 - TOLERANCE) * shortest <= length <= (1 + TOLERANCE) * longest:
                found.append(f"{length:.0f} mm {axis} instead of {shortest:.0f} to {longest:.0f}")
        for index, (measured, channel_range) in enumerate(zip(scan.intensities, self.intensities, strict=False)):
            if channel_range is not None:
                unit = UNITS.get(self.modalities[index], "") if index < len(self.modalities) else ""
                found += intensity_differences(measured, channel_range, unit)
        return found


def intensity_differences(measured: Range, channel: ChannelRange, unit: str) -> list[str]:
    """Return which of the `PERCENTILES` of a channel lies outside its range, in words."""
    slack = TOLERANCE * (channel.highest[1] - channel.lowest[0])
    found = []
    for percent, value, (low, high) in zip(PERCENTILES, measured, (channel.lowest, channel.highest), strict=True):
        if not low - slack <= value <= high + slack:
            found.append(f"{percent:g} % of the voxels below {value:.4g} {unit} instead of {low:.4g} to {high:.4g}")
    return found


def measure_scan(voxels: NDArray[np.floating], spacing: Sequence[float]) -> Scan:
    """Measure what of a volume is compared, except its modality.

    Args:
        voxels: intensities (C, D, H, W), with D, H, W towards the right, anterior and superior of the patient.
        spacing: voxel size along these axes, in mm.
    """
    return measured_scan(voxels.shape[1:], spacing, tuple(map(percentiles, voxels)))


def measured_scan(shape: Sequence[int], spacing: Sequence[float], intensities: Sequence[Range]) -> Scan:
    """Return what of a volume is compared, from its shape in voxels, its spacing in mm and its `PERCENTILES`."""
    across, along, up = (size * edge for size, edge in zip(shape, spacing, strict=True))
    return Scan(extent_mm=(across, along, up), intensities=tuple(intensities))


def percentiles(channel: NDArray[np.floating]) -> Range:
    """Return the `PERCENTILES` of a channel (D, H, W), from every voxel or, of a large one, from evenly spaced ones."""
    step = max(1, round((channel.size / MOST_VOXELS) ** (1 / 3)))
    low, high = np.percentile(channel[::step, ::step, ::step], PERCENTILES).tolist()
    return max(low, AIR_HU), high


def span(values: NDArray[np.floating]) -> Range:
    """Return the smallest and the largest of some numbers, to four digits."""
    return float(f"{values.min():.4g}"), float(f"{values.max():.4g}")


def as_range(pair: Any) -> Range:
    """Return two numbers of JSON as a range.

    Raises:
        ValueError: they are not two finite numbers in order.
    """
    low, high = map(float, pair)
    if not (isfinite(low) and isfinite(high) and low <= high):
        raise ValueError(pair)
    return low, high
