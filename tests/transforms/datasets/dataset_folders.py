"""Make dataset folders with empty files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

A = ["a.nii.gz"]
"""The image or the label map of a single case."""


def touch(folder: Path, *names: str) -> list[Path]:
    """Make empty files in a folder; return their paths."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]


def make_dataset(folder: Path, images: list[str], labels: list[str], listing: Any = None) -> Path:
    """Make empty files, and dataset.json if `listing` is given."""
    for name, files in (("imagesTr", images), ("labelsTr", labels)):
        (folder / name).mkdir(parents=True)
        for file in files:
            (folder / name / file).touch()
    if listing is not None:
        (folder / "dataset.json").write_text(listing if isinstance(listing, str) else json.dumps(listing))
    return folder


def entry(name: str) -> dict[str, str]:
    """Return the entry of a case in `training` of dataset.json."""
    return {"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"}


def nnunet(channels: int = 1, **more: Any) -> dict[str, Any]:
    """Return a dataset.json of nnU-Net with this number of channels."""
    names = {str(index): f"T{index}" for index in range(channels)}
    return {"channel_names": names, "labels": {"background": 0, "liver": 1}, "file_ending": ".nii.gz", **more}
