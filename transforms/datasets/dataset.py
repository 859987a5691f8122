"""Labelled cases of a dataset folder, and the names of its channels and labels."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.io.dicom.series import DicomFolder
from hybridseg.transforms.io.dicom.stored import is_dicom
from hybridseg.transforms.io.json_files import read_json
from hybridseg.transforms.io.masks import MaskFile, Rois, check_rois, is_mask_file
from hybridseg.transforms.io.names import volume_extension
from hybridseg.transforms.regions import Regions

from .layouts import LISTING, Candidate, candidates, check_folder, layout_of
from .names import DICOM_CODES, UNNAMED, modality_of, read_channel_names, read_label_names

logger = logging.getLogger(__name__)


ImagePath = str | DicomFolder
"""An absolute path of an image."""


class LabelledCase(TypedDict):
    """A labelled case: its name and absolute paths. `image` is a list if each channel has a file of its own."""

    case: str
    image: ImagePath | list[ImagePath]
    label: str | MaskFile


def image_files(case: LabelledCase) -> list[ImagePath]:
    """Return the files of the image of a case: one, or one for each channel."""
    return case["image"] if isinstance(case["image"], list) else [case["image"]]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A folder of labelled cases.

    Args:
        folder: absolute path.
        layout: `decathlon`, `nnunet`, `pairs` or `dicom`.
        cases: complete cases, sorted by name.
        problems: error message of each case that lacks an image or a label, by case name.
        channel_names: names of an image's channels; `image` alone if not given.
        label_names: names of the labels without the background; empty if not given.
        regions: labels of each region, if the dataset has overlapping regions.
        ignore_label: label of voxels without annotation; None if the dataset has none.
        rois: labels by pattern of ROI names, for labels in RTSTRUCT, SEG and `.seg.nrrd` files.
        licence: licence in `dataset.json`; empty if not given.
        synthetic: whether `dataset.json` says, by `"synthetic": true`, that the volumes are not of patients.
    """

    folder: Path
    layout: str
    cases: tuple[LabelledCase, ...]
    problems: Mapping[str, str] = field(default_factory=dict)
    channel_names: tuple[str, ...]
    label_names: Mapping[int, str]
    regions: Regions
    ignore_label: int | None = None
    rois: Rois = field(default_factory=dict)
    licence: str = ""
    synthetic: bool = False

    @property
    def modalities(self) -> tuple[str, ...]:
        """What each channel is by its name: `CT`, with intensities in HU, `PET`, in SUV, or else `MRI`.

        Raises:
            ValueError: a name says both CT and PET.
        """
        return tuple(map(modality_of, self.channel_names))

    @property
    def label_values(self) -> tuple[int, ...] | None:
        """Labels that may occur, without the background and the ignore label; None if not given."""
        return tuple(sorted({*self.label_names, *(label for part in self.regions.values() for label in part)})) or None


def open_dataset(folder: PathLike, *, rois: Rois | None = None, channels: Sequence[str] = ()) -> Dataset:
    """Find the cases of a dataset folder, and read the names of its channels and labels.

    Args:
        folder: a folder in Medical Segmentation Decathlon or nnU-Net layout, with pairs of the same name, or a tree of
            DICOM series and their masks.
        rois: labels by pattern of ROI names, in place of `rois` in dataset.json.
        channels: names of the channels whose series make the cases of a DICOM tree, if dataset.json names none.

    Raises:
        VolumeError: the folder is missing, two cases have the same name, no case is complete, or dataset.json is
            invalid.
        ValueError: series of several modalities in a DICOM tree have masks, and no channel is named.
    """
    root = Path(os.path.abspath(folder))
    content = _name_channels(root, _read_listing(root), channels)
    layout = layout_of(root, content)
    labels = read_label_names(root / LISTING, content)
    channel_names = read_channel_names(root / LISTING, content)
    found = sorted(candidates(root, content))
    if layout == "dicom" and channel_names == UNNAMED:
        channel_names = _only_modality(found)
    chosen = rois or read_rois(root / LISTING, content)
    cases, problems = _complete_cases(root, found, chosen)
    return Dataset(
        folder=root,
        layout=layout,
        cases=tuple(cases),
        problems=problems,
        channel_names=channel_names,
        label_names=labels.names or name_labels(chosen),
        regions=labels.regions,
        ignore_label=labels.ignore,
        rois=chosen,
        licence=str(content.get("licence") or content.get("license") or ""),
        synthetic=content.get("synthetic") is True,
    )


def read_dataset(
    dataset_dir: PathLike, *, rois: Rois | None = None, channels: Sequence[str] = ()
) -> list[LabelledCase]:
    """Return the labelled cases of a dataset folder, sorted by name, as `open_dataset` finds them.

    Logs a warning with the number of cases that lack an image or a label. Of a DICOM tree whose channels are not named,
    every series with a mask is a case, whatever its modality.

    Raises:
        VolumeError: as in `open_dataset`, except for the names of labels, which are not read.
    """
    root = Path(os.path.abspath(dataset_dir))
    content = _name_channels(root, _read_listing(root), channels)
    found = sorted(candidates(root, content))
    cases, problems = _complete_cases(root, found, rois or read_rois(root / LISTING, content))
    if problems:
        first, total = next(iter(problems.values())), len(cases) + len(problems)
        logger.warning("%d of %d cases skipped, since files are missing: %s", len(problems), total, first)
    return cases


def read_rois(listing: Path, content: Mapping[str, Any]) -> Rois:
    """Return the labels by pattern of ROI names in the content of dataset.json; empty without any.

    Args:
        listing: path of dataset.json, for the error.
        content: its content: `rois` is {"GTV*": 1}.

    Raises:
        VolumeError: `rois` has another form.
    """
    rois: Rois = content.get("rois", {})
    try:
        check_rois(rois)
    except ValueError as error:
        raise VolumeError(listing, str(error), "see the documentation of dataset.json") from error
    return rois


def _read_listing(folder: Path) -> dict[str, Any]:
    """Read `dataset.json`; return an empty dict without the file."""
    check_folder(folder)
    listing = folder / LISTING
    content = read_json(listing) if listing.exists() else {}
    entries = content.get("training", []) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise VolumeError(listing, f"training: {type(entries).__name__}", "must be a list of image and label pairs")
    return dict(content)


def name_labels(rois: Rois) -> dict[int, str]:
    """Return a name for each label of ROI patterns: the first pattern of the label, without wildcards at its ends.

    Examples:
        >>> name_labels({"GTV_Mass*": 1, "*kidney*left*": 3, "left kidney": 3})
        {1: 'GTV_Mass', 3: 'kidney*left'}
    """
    names: dict[int, str] = {}
    for pattern, label in rois.items():
        names.setdefault(label, pattern.strip("*?_- ") or pattern)
    return dict(sorted(names.items()))


def _name_channels(folder: Path, content: dict[str, Any], channels: Sequence[str]) -> dict[str, Any]:
    """Add the names of channels to the content of dataset.json if the dataset is a DICOM tree without any."""
    if not channels or {"channel_names", "modality"} & content.keys() or layout_of(folder, content) != "dicom":
        return content
    return content | {"channel_names": {str(number): name for number, name in enumerate(channels)}}


def _only_modality(found: Sequence[Candidate]) -> tuple[str, ...]:
    """Return the name of the channel by the only modality there is.

    Raises:
        ValueError: there are several modalities.
    """
    by_code = {code: name for name, code in DICOM_CODES.items()}
    modalities = sorted({case.modality for case in found if case.modality})
    if len(modalities) > 1:
        rule = "name the channels to read, such as --channels CT, or --channels CT PET for both"
        raise ValueError(f"channels: series of {', '.join(modalities)} have masks: {rule}")
    return tuple(by_code.get(code, code) for code in modalities) or UNNAMED


def _complete_cases(folder: Path, found: Sequence[Candidate], rois: Rois) -> tuple[list[LabelledCase], dict[str, str]]:
    """Return the complete cases, and an error message for each of the others."""
    cases: list[LabelledCase] = []
    problems: dict[str, str] = {}
    for case in found:
        missing = [path for path in case.images if not _is_image(path)] + [case.label] * (not case.label.is_file())
        if case.problem or missing:
            problems[case.name] = case.problem or str(_missing(missing[0]))
            continue
        images = [path if isinstance(path, DicomFolder) else os.path.abspath(path) for path in case.images]
        label = Path(os.path.abspath(case.label))
        needs_rois = is_mask_file(label) and (rois or volume_extension(label) == "")
        cases.append(
            {
                "case": case.name,
                "image": images[0] if len(images) == 1 else images,
                "label": MaskFile(label, rois, images[0]) if needs_rois else str(label),
            }
        )
    if problems and not cases:
        raise VolumeError(folder, f"none of {len(problems)} cases has all its files", next(iter(problems.values())))
    if not cases:
        rule = "must hold imagesTr and labelsTr, images and labels, DICOM with masks, or a dataset.json that lists them"
        raise VolumeError(folder, "no labelled cases", rule)
    return cases, problems


def _is_image(path: Path | DicomFolder) -> bool:
    """Return whether a path is a file or a folder with DICOM slices."""
    if isinstance(path, DicomFolder) or path.is_file():
        return True
    return path.is_dir() and any(is_dicom(file) for file in sorted(path.iterdir()))


def _missing(path: Path | DicomFolder) -> VolumeError:
    found = "is a folder" if Path(path).is_dir() else "does not exist"
    return VolumeError(path, found, "a case needs a label and every channel of its image")
