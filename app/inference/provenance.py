"""What made a label map: bundle, weights, device, versions and options; recorded with each map, and compared later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridseg.app.bundling.config import bundle_version, inference_config, literal
from hybridseg.app.bundling.packed import recorded_path
from hybridseg.app.runtime.record import digest, file_sha256

VOXEL_OPTIONS = ("overlap", "tta", "labels", "largest_component", "remove_small", "grid_of")
"""Options of `hybridseg predict` that change the voxels of every label map."""
NOT_RECORDED = {"remove_small": None}
"""Options that the records of earlier versions lack, with what they did."""
DICOM_OPTIONS = ("series", "fill_gaps")
"""Options that change those of DICOM cases."""
SHOWN_DIGITS = 12
"""Digits of a checksum in messages and run numbers."""


def describe_settings(bundle: Path, checkpoint: Sequence[Path], options: Mapping[str, Any]) -> dict[str, Any]:
    """Describe what will make label maps, without building the network.

    Args:
        bundle: folder of the bundle.
        checkpoint: files of weights; empty for the bundle's own.
        options: options of `hybridseg predict` that change results; an overlap of None becomes the bundle's.

    Raises:
        ValueError: the bundle's `inference.json` cannot be read.
    """
    from monai.bundle import ConfigParser

    content = inference_config(bundle)
    config = ConfigParser(dict(content))
    config["bundle_root"] = literal(bundle)
    item = "inferer::overlap"
    overlap = options.get("overlap")
    if overlap is None and item in config:
        overlap = config.get_parsed_content(item)
    files = list(checkpoint)
    if not files and "checkpoint" in config:
        files = [Path(config.get_parsed_content("checkpoint"))]
    return {
        "bundle": recorded_path(bundle),
        "bundle_version": bundle_version(bundle),
        "inference_sha256": digest(content),
        "checkpoints": [recorded_path(path) for path in files],
        "checkpoint_sha256": [file_sha256(path) for path in files],
        "options": {**options, "overlap": overlap},
    }


def find_difference(
    earlier: Mapping[str, Any], now: Mapping[str, Any], *, dicom: bool = False
) -> tuple[str, str, str] | None:
    """Find the first setting that gives a label map other voxels; settings that one side lacks are not compared.

    Args:
        earlier: settings that made a label map.
        now: settings of this run.
        dicom: compare the options for DICOM too.

    Returns:
        The name of the setting, its earlier value and its value now, or None.
    """
    names = ["bundle", "bundle version", "inference.json"]
    if earlier.get("checkpoint_sha256") != now.get("checkpoint_sha256"):  # whatever the names of the files
        names.insert(2, "weights")
    pairs = [(name, shown_setting(name, earlier), shown_setting(name, now)) for name in names]
    before, after = ({**NOT_RECORDED, **options} if (options := s.get("options")) else {} for s in (earlier, now))
    options = [name for name in (*VOXEL_OPTIONS, *(DICOM_OPTIONS if dicom else ())) if name in before]
    pairs += [(name, shown_option(before[name]), shown_option(after[name])) for name in options]
    for name, old, new in pairs:
        if old is not None and new is not None and old != new:
            return name, old, new
    return None


def check_unchanged(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Check that config and weights are still those of the run, once they are loaded.

    Raises:
        ValueError: one changed, so that it is not known which was loaded.
    """
    for name in ("inference.json", "weights"):
        old, new = shown_setting(name, before), shown_setting(name, now)
        if old != new:
            raise ValueError(f"{name}: {new}: was {old} when the run began: repeat the command")


def shown_setting(name: str, settings: Mapping[str, Any]) -> str | None:
    """Return a setting as text to compare and to show; None if it is not known."""
    if name == "bundle":
        return Path(settings["bundle"]).name if settings.get("bundle") else None
    if name == "bundle version":
        return settings.get("bundle_version")
    if name == "inference.json":
        checksum = settings.get("inference_sha256")
        return checksum and f"checksum {checksum[:SHOWN_DIGITS]}"
    checksums: list[Any] = settings.get("checkpoint_sha256") or [None]
    if None in checksums:
        return None
    files = [Path(path).name for path in settings["checkpoints"]]
    return ", ".join(f"{file} {checksum[:SHOWN_DIGITS]}" for file, checksum in zip(files, checksums, strict=True))


def shown_option(value: Any) -> str:
    """Return the value of an option as text, whether it comes from this run or from JSON."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)
