"""Folders of datasets with empty files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

A = ["a.nii.gz"]
"""The image, and the label map, of the only case."""


def make_dataset(folder: Path, images: list[str], labels: list[str], listing: Any = None) -> Path:
    """Empty files, and the list `training` of dataset.json if there is one."""
    for name, files in (("imagesTr", images), ("labelsTr", labels)):
        (folder / name).mkdir(parents=True)
        for file in files:
            (folder / name / file).touch()
    if listing is not None:
        (folder / "dataset.json").write_text(listing if isinstance(listing, str) else json.dumps(listing))
    return folder


def entry(name: str) -> dict[str, str]:
    """What `training` of dataset.json says of a case."""
    return {"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"}


def nnunet(channels: int = 1, **more: Any) -> dict[str, Any]:
    """The dataset.json of nnU-Net, with so many channels."""
    names = {str(index): f"T{index}" for index in range(channels)}
    return {"channel_names": names, "labels": {"background": 0, "liver": 1}, "file_ending": ".nii.gz", **more}
