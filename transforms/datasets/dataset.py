"""Labelled cases of a dataset folder, and the names of its channels and labels."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.io.json_files import read_json
from hybridseg.transforms.regions import Regions

from .layouts import LISTING, candidates, layout_of
from .names import read_channel_names, read_label_names

logger = logging.getLogger(__name__)


class LabelledCase(TypedDict):
    """A labelled case: its name and absolute paths. `image` is a list if each channel has a file of its own."""

    case: str
    image: str | list[str]
    label: str


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A folder of labelled cases.

    Args:
        folder: absolute path.
        layout: `decathlon`, `nnunet` or `pairs`.
        cases: complete cases, sorted by name.
        problems: error message of each case that lacks an image or a label, by case name.
        channel_names: names of an image's channels; `image` alone if not given.
        label_names: names of the labels without the background; empty if not given.
        regions: labels of each region, if the dataset has overlapping regions.
        licence: licence in `dataset.json`; empty if not given.
    """

    folder: Path
    layout: str
    cases: tuple[LabelledCase, ...]
    problems: Mapping[str, str] = field(default_factory=dict)
    channel_names: tuple[str, ...]
    label_names: Mapping[int, str]
    regions: Regions
    licence: str = ""

    @property
    def is_ct(self) -> bool:
        """Whether the only channel is called CT, with intensities in HU."""
        return [name.strip().upper() for name in self.channel_names] == ["CT"]

    @property
    def label_values(self) -> tuple[int, ...] | None:
        """Labels that may occur, without the background; None if not given."""
        return tuple(sorted({*self.label_names, *(label for part in self.regions.values() for label in part)})) or None


def open_dataset(folder: PathLike) -> Dataset:
    """Find the cases of a dataset folder, and read the names of its channels and labels.

    Args:
        folder: a folder in Medical Segmentation Decathlon or nnU-Net layout, or with pairs of the same name.

    Raises:
        VolumeError: the folder is missing, two cases have the same name, no case is complete, or dataset.json is
            invalid.
    """
    root = Path(os.path.abspath(folder))
    content = _read_listing(root)
    names, regions = read_label_names(root / LISTING, content)
    cases, problems = _find_cases(root, content)
    return Dataset(
        folder=root,
        layout=layout_of(root, content),
        cases=tuple(cases),
        problems=problems,
        channel_names=read_channel_names(root / LISTING, content),
        label_names=names,
        regions=regions,
        licence=str(content.get("licence") or content.get("license") or ""),
    )


def read_dataset(dataset_dir: PathLike) -> list[LabelledCase]:
    """Return the labelled cases of a dataset folder, sorted by name, as `open_dataset` finds them.

    Logs a warning with the number of cases that lack an image or a label.

    Raises:
        VolumeError: as in `open_dataset`, except for the names of labels, which are not read.
    """
    root = Path(os.path.abspath(dataset_dir))
    cases, problems = _find_cases(root, _read_listing(root))
    if problems:
        first, total = next(iter(problems.values())), len(cases) + len(problems)
        logger.warning("%d of %d cases skipped, since files are missing: %s", len(problems), total, first)
    return cases


def _read_listing(folder: Path) -> dict[str, Any]:
    """Read `dataset.json`; return an empty dict without the file."""
    if not folder.is_dir():
        rule = "must be a folder in Medical Segmentation Decathlon or nnU-Net layout, or with images and labels"
        raise VolumeError(folder, "not a folder", rule)
    listing = folder / LISTING
    content = read_json(listing) if listing.exists() else {}
    entries = content.get("training", []) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise VolumeError(listing, f"training: {type(entries).__name__}", "must be a list of image and label pairs")
    return dict(content)


def _find_cases(folder: Path, content: Mapping[str, Any]) -> tuple[list[LabelledCase], dict[str, str]]:
    """Return the complete cases, and an error message for each of the others."""
    cases: list[LabelledCase] = []
    problems: dict[str, str] = {}
    for name, images, label in sorted(candidates(folder, content)):
        missing = [path for path in (*images, label) if not path.is_file()]
        if missing:
            found = "is a folder" if missing[0].is_dir() else "does not exist"
            rule = "a case needs a label and every channel of its image"
            problems[name] = str(VolumeError(missing[0], found, rule))
            continue
        files = [os.path.abspath(image) for image in images]
        image = files[0] if len(files) == 1 else files
        cases.append({"case": name, "image": image, "label": os.path.abspath(label)})
    if problems and not cases:
        raise VolumeError(folder, f"none of {len(problems)} cases has all its files", next(iter(problems.values())))
    if not cases:
        rule = "must hold imagesTr and labelsTr, images and labels, or a dataset.json that lists them"
        raise VolumeError(folder, "no labelled cases", rule)
    return cases, problems
