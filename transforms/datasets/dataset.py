"""Labelled cases of a dataset folder, and what its channels and labels are called."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from hybridseg.transforms.errors import PathLike, VolumeError

from .layouts import LISTING, candidates, layout_of
from .names import read_channel_names, read_label_names

logger = logging.getLogger(__name__)


class LabelledCase(TypedDict):
    """A labelled case: its name and absolute paths. `image` is a list where each channel has a file of its own."""

    case: str
    image: str | list[str]
    label: str


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A folder of labelled cases.

    Args:
        folder: its absolute path.
        layout: `decathlon`, `nnunet` or `pairs`.
        cases: in order of case name.
        faults: of those that lack an image or a label, a line for each by case name.
        channel_names: of an image's channels; `image` alone where nothing says.
        label_names: of the labels without the background; empty where nothing says.
        regions: the labels that make up each region, where the dataset has regions that overlap.
        licence: of the dataset, as `dataset.json` tells it; empty where it does not.
    """

    folder: Path
    layout: str
    cases: tuple[LabelledCase, ...]
    faults: Mapping[str, str] = field(default_factory=dict)
    channel_names: tuple[str, ...]
    label_names: Mapping[int, str]
    regions: Mapping[str, tuple[int, ...]]
    licence: str = ""

    @property
    def is_ct(self) -> bool:
        """Whether the only channel is called CT: intensities are HU."""
        return [name.strip().upper() for name in self.channel_names] == ["CT"]

    @property
    def label_values(self) -> tuple[int, ...] | None:
        """The labels that may occur, without the background; None where nothing says."""
        return tuple(sorted({*self.label_names, *(label for part in self.regions.values() for label in part)})) or None


def open_dataset(folder: PathLike) -> Dataset:
    """The cases of a dataset folder, and what their channels and labels are called.

    Args:
        folder: in the layout of the Medical Segmentation Decathlon or of nnU-Net, or with pairs of equal names.

    Raises:
        VolumeError: a missing folder, two cases of one name, no case that is whole, or a dataset.json that cannot be
            understood.
    """
    root = Path(os.path.abspath(folder))
    content = _read_listing(root)
    names, regions = read_label_names(root / LISTING, content)
    cases, faults = _find_cases(root, content)
    return Dataset(
        folder=root,
        layout=layout_of(root, content),
        cases=tuple(cases),
        faults=faults,
        channel_names=read_channel_names(root / LISTING, content),
        label_names=names,
        regions=regions,
        licence=str(content.get("licence") or content.get("license") or ""),
    )


def read_dataset(dataset_dir: PathLike) -> list[LabelledCase]:
    """The labelled cases of a dataset folder, as `open_dataset` finds them, in order of case name.

    A warning counts those that lack an image or a label.

    Raises:
        VolumeError: as `open_dataset`, but for the names of labels, which are not read.
    """
    root = Path(os.path.abspath(dataset_dir))
    cases, faults = _find_cases(root, _read_listing(root))
    if faults:
        first, total = next(iter(faults.values())), len(cases) + len(faults)
        logger.warning("%d of %d cases left out, which lack a file: %s", len(faults), total, first)
    return cases


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


def _read_listing(folder: Path) -> dict[str, Any]:
    """The content of `dataset.json`; empty without the file."""
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
    """The cases whose files are all there, and what is missing of the others."""
    cases: list[LabelledCase] = []
    faults: dict[str, str] = {}
    for name, images, label in sorted(candidates(folder, content)):
        missing = [path for path in (*images, label) if not path.is_file()]
        if missing:
            found = "is a folder" if missing[0].is_dir() else "does not exist"
            rule = "a case needs files of its label and of every channel of its image"
            faults[name] = str(VolumeError(missing[0], found, rule))
            continue
        files = [os.path.abspath(image) for image in images]
        image = files[0] if len(files) == 1 else files
        cases.append({"case": name, "image": image, "label": os.path.abspath(label)})
    if faults and not cases:
        raise VolumeError(folder, f"none of {len(faults)} cases has all its files", next(iter(faults.values())))
    if not cases:
        rule = "must hold imagesTr and labelsTr, images and labels, or a dataset.json that lists them"
        raise VolumeError(folder, "no labelled cases", rule)
    return cases, faults
