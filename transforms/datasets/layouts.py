"""Layouts of public datasets, and how to find the cases of each.

- Medical Segmentation Decathlon (Antonelli et al. 2022): the list `training` of `dataset.json` pairs the files of
  `imagesTr` and `labelsTr`.
- nnU-Net (Isensee et al. 2021): one file per channel, `imagesTr/case_0000.nii.gz`, `case_0001.nii.gz` and so on,
  `labelsTr/case.nii.gz`, and a `dataset.json`. That of nnU-Net 1 lists its cases under `training`; that of nnU-Net 2
  may list them under `dataset`, otherwise all cases of the folders count.
- Pairs: files of the same names in `imagesTr` and `labelsTr`, or in `images` and `labels`.
- DICOM: a tree of series and of the RTSTRUCT or SEG files that reference them; see `dicom_tree.py`.

Listed images may be folders of DICOM slices, and listed labels RTSTRUCT, SEG or `.seg.nrrd` files.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.dicom.series import DicomFolder
from hybridseg.transforms.io.names import (
    CHANNEL,
    VOLUME_EXTENSIONS,
    by_channel,
    case_name,
    check_unique_cases,
    list_volumes,
    volume_extension,
)

from .dicom_tree import find_masked_series, partner
from .names import DICOM_CODES, modality_of, read_channel_names

logger = logging.getLogger(__name__)

LISTING = "dataset.json"
NNUNET_KEYS = frozenset({"channel_names", "file_ending", "dataset"})
"""Keys that only nnU-Net 2 has in dataset.json."""

FOLDERS = (("imagesTr", "labelsTr"), ("images", "labels"))


def check_folder(folder: Path) -> None:
    """Check that the folder of a dataset exists.

    Raises:
        VolumeError: it is not a folder.
    """
    if not folder.is_dir():
        rule = "must be a folder in Medical Segmentation Decathlon or nnU-Net layout, or with images and labels"
        raise VolumeError(folder, "not a folder", rule)


class Candidate(NamedTuple):
    """A case as named by a folder or its dataset.json; its files may be missing.

    Args:
        name: of the case.
        images: one for all channels, or one for each.
        label: the file of the labels.
        modality: of a DICOM series, as DICOM codes it; empty if unknown.
        problem: why the case cannot be used, as far as it is known; empty if it can.
    """

    name: str
    images: Sequence[Path | DicomFolder]
    label: Path
    modality: str = ""
    problem: str = ""


def layout_of(folder: Path, content: Mapping[str, Any]) -> str:
    """Return the layout, `decathlon`, `nnunet`, `pairs` or `dicom`, from the content of `dataset.json`."""
    if not {"training", "dataset"} & content.keys() and not any((folder / images).is_dir() for images, _ in FOLDERS):
        return "dicom"
    if NNUNET_KEYS & content.keys():
        return "nnunet"
    training = content.get("training", [])
    for entry in training:
        image = entry.get("image") if isinstance(entry, dict) else None
        if not isinstance(image, str) or (folder / image).exists():
            break
        first = f"{case_name(image)}_0000{volume_extension(image)}"  # nnU-Net 1 lists cases, not files
        if (folder / image).with_name(first).exists():
            return "nnunet"
    return "decathlon" if training else "pairs"


def candidates(folder: Path, content: Mapping[str, Any]) -> Iterator[Candidate]:
    """Find the cases of a dataset folder, with the files that each has or should have.

    Args:
        folder: path of the folder.
        content: content of its `dataset.json`; empty without one.

    Raises:
        VolumeError: two cases have the same name, or a name or an entry is invalid.
    """
    return FINDERS[layout_of(folder, content)](folder, content)


def _listed_cases(folder: Path, content: Mapping[str, Any]) -> Iterator[Candidate]:
    """Find the cases of the list `training`; a case in a folder has the name of its path, joined by `_`."""
    images: dict[str, Path] = {}
    for entry in content["training"]:
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("image", "label")):
            raise VolumeError(folder / LISTING, f"training: {entry}", "each entry must name an image and a label")
        image = folder / entry["image"]
        if not image.name.startswith("._"):
            parts = [part for part in Path(entry["image"]).parts if part not in (os.pardir, os.sep)]
            name = "_".join(parts) if image.is_dir() else case_name(image)
            if name in images:
                rule = "every input needs a case name of its own"
                raise VolumeError(image, f"case name {name!r}, as {images[name]}", rule)
            images[name] = image
            yield Candidate(name, [image], folder / entry["label"])


def _nnunet_cases(folder: Path, content: Mapping[str, Any]) -> Iterator[Candidate]:
    """Find the cases with one file per channel: those that `dataset.json` lists, or else all of `imagesTr`."""
    listing, channels = folder / LISTING, len(read_channel_names(folder / LISTING, content))
    if content.get("dataset") is not None:
        yield from _nnunet_listed_cases(listing, content["dataset"], channels)
        return
    if not NNUNET_KEYS & content.keys():
        yield from _nnunet_1_cases(folder, content, channels)
        return
    ending = content.get("file_ending", ".nii.gz")
    if ending not in VOLUME_EXTENSIONS:
        raise VolumeError(listing, f"file_ending: {ending}", f"must be one of {', '.join(VOLUME_EXTENSIONS)}")
    labels = _by_case_name([path for path in list_volumes(folder / "labelsTr") if volume_extension(path) == ending])
    single, groups = by_channel(path for path in list_volumes(folder / "imagesTr") if volume_extension(path) == ending)
    for image in single:
        raise VolumeError(image, "no channel in its name", f"must be named {case_name(image)}_0000{ending}")
    images = {name: files for (_, name), files in groups.items()}
    for files in images.values():
        if (last := max(files)) >= channels:
            rule = f"must be at most {channels - 1:04d}, since {LISTING} names {channels}"
            raise VolumeError(files[last], f"channel {last:04d}", rule)
    for name in images.keys() | labels.keys():
        named = (folder / "imagesTr" / f"{name}_{channel:04d}{ending}" for channel in range(channels))
        found = [images.get(name, {}).get(channel, path) for channel, path in enumerate(named)]
        yield Candidate(name, found, labels.get(name, folder / "labelsTr" / f"{name}{ending}"))


def _nnunet_1_cases(folder: Path, content: Mapping[str, Any], channels: int) -> Iterator[Candidate]:
    """Find the cases of the list `training`, which names an image without its channels; log how many it leaves out."""
    listed = {case.name: (Path(case.images[0]), case.label) for case in _listed_cases(folder, content)}
    for name, (image, label) in listed.items():
        ending = volume_extension(image)
        yield Candidate(name, [image.with_name(f"{name}_{number:04d}{ending}") for number in range(channels)], label)
    parents = {image.parent for image, _ in listed.values()}
    found = {name for parent in parents for _, name in by_channel(list_volumes(parent))[1]}
    if others := sorted(found - listed.keys()):
        message = "%d cases of %s are not listed in %s and are ignored, such as %s"
        logger.warning(message, len(others), folder, LISTING, others[0])


def _nnunet_listed_cases(listing: Path, listed: Any, channels: int) -> Iterator[Candidate]:
    rule = 'must be an object such as {"case": {"images": ["case_t1.nii.gz", "case_t2.nii.gz"], "label": "seg.nii.gz"}}'
    if not isinstance(listed, dict):
        raise VolumeError(listing, f"dataset: {type(listed).__name__}", rule)
    for name, entry in listed.items():
        images, label = (entry.get("images"), entry.get("label")) if isinstance(entry, dict) else (None, None)
        if not (isinstance(images, list) and all(isinstance(image, str) for image in images) and images):
            raise VolumeError(listing, f"dataset: {name!r}: {entry}", rule)
        if not isinstance(label, str) or Path(name).name != name:
            raise VolumeError(listing, f"dataset: {name!r}: {entry}", rule)
        if len(images) not in (1, channels):
            found = f"dataset: {name!r}: {len(images)} images"
            raise VolumeError(listing, found, f"must be one, or one for each of {channels}")
        yield Candidate(name, [listing.parent / image for image in images], listing.parent / label)


def _paired_cases(folder: Path, content: Mapping[str, Any]) -> Iterator[Candidate]:
    """Find images and labels of the same name; the missing file of a pair is expected under the other's name."""
    for image_folder, label_folder in FOLDERS:
        if (folder / image_folder).is_dir():
            images = _by_case_name(list_volumes(folder / image_folder))
            labels = _by_case_name(list_volumes(folder / label_folder))
            for name in images.keys() | labels.keys():
                match = CHANNEL.fullmatch(name)
                if match is not None and match["case"] in labels and name not in labels:
                    rule = f"{LISTING} must name the channels that have files of their own, as nnU-Net's does"
                    raise VolumeError(images[name], f"a channel of {match['case']} by its name", rule)
                file = (images.get(name) or labels[name]).name
                image, label = folder / image_folder / file, folder / label_folder / file
                yield Candidate(name, [images.get(name, image)], labels.get(name, label))
            return


def _dicom_cases(folder: Path, content: Mapping[str, Any]) -> Iterator[Candidate]:
    """Find the series with a mask; of several channels, the first has the mask, and the others its frame of reference.

    Without the names of channels, each series with a mask is a case.
    """
    masked, all_series = find_masked_series(folder)
    named = {"channel_names", "modality"} & content.keys()
    channels = read_channel_names(folder / LISTING, content) if named else ()
    codes = [DICOM_CODES[modality_of(channel)] for channel in channels]
    for case in masked:
        if case.series is None:
            yield Candidate(case.name, [case.mask.parent], case.mask, problem=case.problem)
        elif not codes or case.series.modality == codes[0]:
            others = [partner(case.series, code, all_series) for code in codes[1:]]
            sources = [case.series.source, *(other.source for other in others if other is not None)]
            problem = case.problem
            if not problem and None in others:
                found = f"no single {codes[1 + others.index(None)]} series in its frame of reference"
                rule = f"must have one series for each of {', '.join(channels)}"
                problem = str(VolumeError(case.series.folder, found, rule))
            yield Candidate(case.name, sources, case.mask, case.series.modality, problem)


def _by_case_name(volumes: Sequence[Path]) -> dict[str, Path]:
    check_unique_cases(volumes)
    return {case_name(volume): volume for volume in volumes}


FINDERS: Mapping[str, Callable[[Path, Mapping[str, Any]], Iterator[Candidate]]] = {
    "decathlon": _listed_cases,
    "nnunet": _nnunet_cases,
    "pairs": _paired_cases,
    "dicom": _dicom_cases,
}
"""Functions that find the cases of each layout."""
