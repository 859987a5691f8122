"""Labelled cases of a folder in the layout of the Medical Segmentation Decathlon (Antonelli et al. 2022).

The folder holds `imagesTr`, `labelsTr` and, usually, a `dataset.json` whose list `training` pairs their files.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .cases import case_name, list_volumes, refuse_repeated_cases
from .errors import VolumeError

Case = dict[str, str]
"""{"case": name, "image": absolute path, "label": absolute path}."""


def read_dataset(dataset_dir: str | os.PathLike[str]) -> list[Case]:
    """The labelled cases of a dataset folder: those `dataset.json` lists, or else all pairs of equal names.

    Args:
        dataset_dir: folder in the layout of the Medical Segmentation Decathlon.

    Returns:
        One {"case", "image", "label"} for each case, in order of case name.

    Raises:
        VolumeError: a missing folder, a file listed but missing, an image without label or label without image, two
            cases of one name, no cases: nothing is left out without a word.
    """
    folder = Path(os.path.abspath(dataset_dir))
    if not folder.is_dir():
        raise VolumeError(folder, "not a folder", "must be a folder in Medical Segmentation Decathlon layout")
    cases = _listed_cases(folder) or _paired_cases(folder)
    if not cases:
        raise VolumeError(
            folder, "no labelled cases", "must hold imagesTr and labelsTr, or a dataset.json that lists them"
        )
    refuse_repeated_cases(Path(case["image"]) for case in cases)
    return sorted(cases, key=lambda case: case["case"])


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        VolumeError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise VolumeError(path, error.strerror, "must be a readable JSON file") from error
    except ValueError as error:  # includes text that is not UTF-8
        raise VolumeError(path, error, "must be a JSON file") from error


def _listed_cases(folder: Path) -> list[Case]:
    """The cases of the list `training` in `dataset.json`; none without the file or the list."""
    listing = folder / "dataset.json"
    if not listing.exists():
        return []
    content = read_json(listing)
    entries = content.get("training", []) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise VolumeError(listing, f"training: {type(entries).__name__}", "must be a list of image and label pairs")
    cases = []
    for entry in entries:
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("image", "label")):
            raise VolumeError(listing, f"training: {entry}", "each entry must name an image and a label")
        if not Path(entry["image"]).name.startswith("._"):
            cases.append(_case(folder / entry["image"], folder / entry["label"]))
    return cases


def _paired_cases(folder: Path) -> list[Case]:
    """Images of `imagesTr` with the labels of the same name in `labelsTr`."""
    if not (folder / "imagesTr").is_dir():
        return []
    images = _by_case_name(folder / "imagesTr")
    labels = _by_case_name(folder / "labelsTr")
    for case in images.keys() - labels.keys():
        raise VolumeError(images[case], "no label", f"labelsTr must hold a file named {case}")
    for case in labels.keys() - images.keys():
        raise VolumeError(labels[case], "no image", f"imagesTr must hold a file named {case}")
    return [_case(images[case], labels[case]) for case in images]


def _by_case_name(folder: Path) -> dict[str, Path]:
    volumes = list_volumes(folder)
    refuse_repeated_cases(volumes)
    return {case_name(volume): volume for volume in volumes}


def _case(image: Path, label: Path) -> Case:
    for path in (image, label):
        if not path.is_file():
            raise VolumeError(path, "does not exist", "every image and label of a dataset must be there")
    return {"case": case_name(image), "image": os.path.abspath(image), "label": os.path.abspath(label)}
