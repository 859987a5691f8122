"""Labelled cases of a dataset folder, in the layouts that public datasets come in.

- The Medical Segmentation Decathlon's (Antonelli et al. 2022): `dataset.json`, whose list `training` pairs the files
  of `imagesTr` and `labelsTr`.
- nnU-Net's (Isensee et al. 2021): `imagesTr/case_0000.nii.gz`, `case_0001.nii.gz` and so on, a file for each channel,
  `labelsTr/case.nii.gz`, and a `dataset.json` that names the channels, or lists cases under `dataset`.
- Pairs: `imagesTr` and `labelsTr`, or `images` and `labels`, with files of the same names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from .cases import (
    CHANNEL,
    VOLUME_EXTENSIONS,
    case_name,
    group_channels,
    list_volumes,
    refuse_repeated_cases,
    volume_extension,
)
from .dataset_names import read_channel_names, read_label_names
from .errors import VolumeError

LISTING = "dataset.json"
NNUNET_KEYS = frozenset({"channel_names", "file_ending", "dataset"})
"""What only nnU-Net 2 has in dataset.json."""
NAMED = 10
"""Cases that an error names."""
FOLDERS = (("imagesTr", "labelsTr"), ("images", "labels"))


class Case(TypedDict):
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
        channel_names: of an image's channels; `image` alone where nothing says.
        label_names: of the labels without the background; empty where nothing says.
        regions: the labels that make up each region, where the dataset has regions that overlap.
        licence: of the dataset, as `dataset.json` tells it; empty where it does not.
    """

    folder: Path
    layout: str
    cases: tuple[Case, ...]
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


def open_dataset(folder: str | os.PathLike[str]) -> Dataset:
    """The cases of a dataset folder, and what their channels and labels are called.

    Args:
        folder: in the layout of the Medical Segmentation Decathlon or of nnU-Net, or with pairs of equal names.

    Raises:
        VolumeError: a missing folder, a file listed but missing, a channel missing, an image without label or label
            without image, two cases of one name, no cases, or a dataset.json that cannot be understood: nothing is
            left out without a word.
    """
    root = Path(os.path.abspath(folder))
    content = _read_listing(root)
    names, regions = read_label_names(root / LISTING, content)
    return Dataset(
        folder=root,
        layout=_layout(root, content),
        cases=tuple(_find_cases(root, content)),
        channel_names=read_channel_names(root / LISTING, content),
        label_names=names,
        regions=regions,
        licence=str(content.get("licence") or content.get("license") or ""),
    )


def read_dataset(dataset_dir: str | os.PathLike[str]) -> list[Case]:
    """The labelled cases of a dataset folder, as `open_dataset` finds them, in order of case name.

    Raises:
        VolumeError: as `open_dataset`, but for the names of labels, which are not read.
    """
    root = Path(os.path.abspath(dataset_dir))
    return _find_cases(root, _read_listing(root))


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


def _layout(folder: Path, content: Mapping[str, Any]) -> str:
    if NNUNET_KEYS & content.keys():
        return "nnunet"
    for entry in content.get("training", [])[:1]:
        image = entry.get("image") if isinstance(entry, dict) else None
        if isinstance(image, str) and not (folder / image).exists():
            first = f"{case_name(image)}_0000{volume_extension(image)}"  # nnU-Net 1 lists cases, not files
            return "nnunet" if (folder / image).with_name(first).exists() else "decathlon"
        return "decathlon"
    return "pairs"


def _find_cases(folder: Path, content: Mapping[str, Any]) -> list[Case]:
    cases = FINDERS[_layout(folder, content)](folder, content)
    if not cases:
        rule = "must hold imagesTr and labelsTr, images and labels, or a dataset.json that lists them"
        raise VolumeError(folder, "no labelled cases", rule)
    return sorted(cases, key=lambda case: case["case"])


def _listed_cases(folder: Path, content: Mapping[str, Any]) -> list[Case]:
    """The cases of the list `training`."""
    cases, images = [], []
    for entry in content["training"]:
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("image", "label")):
            raise VolumeError(folder / LISTING, f"training: {entry}", "each entry must name an image and a label")
        image = folder / entry["image"]
        if not image.name.startswith("._"):
            cases.append(_case(case_name(image), [image], folder / entry["label"]))
            images.append(image)
    refuse_repeated_cases(images)
    return cases


def _nnunet_cases(folder: Path, content: Mapping[str, Any]) -> list[Case]:
    """The cases of the object `dataset`, or else those of `imagesTr` and `labelsTr`, channels in files of their own."""
    listing, channels = folder / LISTING, len(read_channel_names(folder / LISTING, content))
    if content.get("dataset") is not None:
        return _nnunet_listed_cases(listing, content["dataset"], channels)
    ending = content.get("file_ending", ".nii.gz")
    if ending not in VOLUME_EXTENSIONS:
        raise VolumeError(listing, f"file_ending: {ending}", f"must be one of {', '.join(VOLUME_EXTENSIONS)}")
    images = [path for path in list_volumes(folder / "imagesTr") if volume_extension(path) == ending]
    for image in images:
        if not CHANNEL.fullmatch(case_name(image)):
            raise VolumeError(image, "no channel in its name", f"must be named {case_name(image)}_0000{ending}")
    labels = [path for path in list_volumes(folder / "labelsTr") if volume_extension(path) == ending]
    return _pair(dict(group_channels(images, channels)), _by_case_name(labels), "labelsTr", "imagesTr")


def _nnunet_listed_cases(listing: Path, listed: Any, channels: int) -> list[Case]:
    rule = 'must be an object such as {"case": {"images": ["case_t1.nii.gz", "case_t2.nii.gz"], "label": "seg.nii.gz"}}'
    if not isinstance(listed, dict):
        raise VolumeError(listing, f"dataset: {type(listed).__name__}", rule)
    cases = []
    for name, entry in listed.items():
        images, label = (entry.get("images"), entry.get("label")) if isinstance(entry, dict) else (None, None)
        if not (isinstance(images, list) and all(isinstance(image, str) for image in images) and images):
            raise VolumeError(listing, f"dataset: {name!r}: {entry}", rule)
        if not isinstance(label, str) or Path(name).name != name:
            raise VolumeError(listing, f"dataset: {name!r}: {entry}", rule)
        if len(images) not in (1, channels):
            found = f"dataset: {name!r}: {len(images)} images"
            raise VolumeError(listing, found, f"must be one, or one for each of {channels}")
        cases.append(_case(name, [listing.parent / image for image in images], listing.parent / label))
    return cases


def _paired_cases(folder: Path, content: Mapping[str, Any]) -> list[Case]:
    """Images with the labels of the same name."""
    for images, labels in FOLDERS:
        if (folder / images).is_dir():
            found = {name: (path,) for name, path in _by_case_name(list_volumes(folder / images)).items()}
            return _pair(found, _by_case_name(list_volumes(folder / labels)), labels, images)
    return []


def _files_named(cases: Sequence[str]) -> str:
    """What is missing, in a line of bearable length."""
    more = f" and {len(cases) - NAMED} more" if len(cases) > NAMED else ""
    return f"{'a file' if len(cases) == 1 else 'files'} named {', '.join(cases[:NAMED])}{more}"


def _pair(
    images: Mapping[str, Sequence[Path]], labels: Mapping[str, Path], label_folder: str, image_folder: str
) -> list[Case]:
    """Images and labels of the same case; each must have the other."""
    if lone := sorted(images.keys() - labels.keys()):
        raise VolumeError(images[lone[0]][0], "no label", f"{label_folder} must hold {_files_named(lone)}")
    if lone := sorted(labels.keys() - images.keys()):
        raise VolumeError(labels[lone[0]], "no image", f"{image_folder} must hold {_files_named(lone)}")
    return [_case(case, files, labels[case]) for case, files in images.items()]


def _by_case_name(volumes: Sequence[Path]) -> dict[str, Path]:
    refuse_repeated_cases(volumes)
    return {case_name(volume): volume for volume in volumes}


def _case(name: str, images: Sequence[Path], label: Path) -> Case:
    for path in (*images, label):
        if not path.is_file():
            raise VolumeError(path, "does not exist", "every image and label of a dataset must be there")
    files = [os.path.abspath(image) for image in images]
    return {"case": name, "image": files[0] if len(files) == 1 else files, "label": os.path.abspath(label)}


FINDERS: Mapping[str, Callable[[Path, Mapping[str, Any]], list[Case]]] = {
    "decathlon": _listed_cases,
    "nnunet": _nnunet_cases,
    "pairs": _paired_cases,
}
"""How the cases of each layout are found."""
