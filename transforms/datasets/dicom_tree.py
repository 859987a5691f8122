"""Find labelled cases in a tree of DICOM folders: image series, and the RTSTRUCT or SEG that references each.

Exports differ in where they put what: `PATIENT/CT/*.dcm` and `PATIENT/RS.dcm`, `CT/image` and `CT/mask` side by side,
or all files of a patient in one folder. So a mask belongs to the series that it references by SeriesInstanceUID,
wherever it is. Where that series is not there, as after anonymisation, it belongs to the only series of its frame of
reference, or else to the only one in its folder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.dicom.series import DicomFolder
from hybridseg.transforms.io.dicom.stored import is_dicom
from hybridseg.transforms.io.masks.references import DicomSummary, read_summary
from hybridseg.transforms.io.names import composed


@dataclass(frozen=True)
class ImageSeries:
    """A series of images in a folder.

    Args:
        folder: the folder.
        summary: of its first file.
        is_alone: whether the folder holds no other series.
    """

    folder: Path
    summary: DicomSummary
    is_alone: bool

    @property
    def modality(self) -> str:
        """Its modality, such as CT."""
        return self.summary.modality

    @property
    def source(self) -> Path | DicomFolder:
        """What to load."""
        return self.folder if self.is_alone else DicomFolder(self.folder, self.summary.series)


@dataclass(frozen=True, kw_only=True)
class MaskedSeries:
    """A mask and its image series.

    Args:
        name: of the case: the folders to the series joined by `_`, and its modality if others are in the same folder.
        mask: the file of the mask.
        series: the series; None if it is not there.
        problem: why the case cannot be used; empty if it can.
    """

    name: str
    mask: Path
    series: ImageSeries | None
    problem: str = ""


def find_masked_series(folder: Path) -> tuple[list[MaskedSeries], list[ImageSeries]]:
    """Find the masks in a folder and all below it, each with its series, and all series. Links are not followed."""
    all_series, masks, broken = read_tree(folder)
    masked = {name_below(folder, path): broken_file(folder, path, problem) for path, problem in broken.items()}
    for mask, summary in masks.items():
        series = choose_series(mask, summary, all_series)
        name, problem = name_below(folder, mask), ""
        if series is None:
            rule = f"the series that it references must be in {folder}"
            problem = str(VolumeError(mask, "no image series for this mask", rule))
        elif (name := name_of(folder, series)) in masked:
            problem = str(VolumeError(mask, f"a second mask of the series in {series.folder}", "must be the only one"))
        masked[name] = MaskedSeries(name=name, mask=mask, series=series, problem=problem)
    return list(masked.values()), all_series


def read_tree(folder: Path) -> tuple[list[ImageSeries], dict[Path, DicomSummary], dict[Path, VolumeError]]:
    """Return what is in a folder and all below it: image series, masks, and files that may have been a mask.

    A broken file beside images is not among these: it is reported when the images are read.
    """
    series: list[ImageSeries] = []
    masks: dict[Path, DicomSummary] = {}
    broken: dict[Path, VolumeError] = {}
    for place, below, files in os.walk(folder):
        below.sort()
        found: dict[str, DicomSummary] = {}
        unread: dict[Path, VolumeError] = {}
        for path in (Path(place, file) for file in sorted(files)):
            if not is_dicom(path):
                continue
            try:
                summary = read_summary(path)
            except VolumeError as error:
                unread[path] = error
                continue
            if summary.is_mask:
                masks[path] = summary
            elif summary.is_image:
                found.setdefault(summary.series, summary)
        series += [ImageSeries(Path(place), summary, len(found) == 1) for summary in found.values()]
        broken |= {} if found else unread
    return series, masks, broken


def choose_series(mask: Path, summary: DicomSummary, all_series: Sequence[ImageSeries]) -> ImageSeries | None:
    """Return the series that a mask belongs to; None if there is none, or it is not clear which."""
    wanted = summary.frame_of_reference
    referenced = [series for series in all_series if series.summary.series in summary.referenced]
    same_frame = [series for series in all_series if wanted and series.summary.frame_of_reference == wanted]
    beside = [series for series in all_series if series.folder == mask.parent]
    for candidates in (referenced, same_frame, beside):
        if candidates:
            return candidates[0] if len(candidates) == 1 else None
    return None


def partner(series: ImageSeries, modality: str, all_series: Sequence[ImageSeries]) -> ImageSeries | None:
    """Return the only series of a modality in the frame of reference of a series; None if there is none, or several."""
    found = [
        other
        for other in all_series
        if other.modality == modality and other.summary.frame_of_reference == series.summary.frame_of_reference != ""
    ]
    return found[0] if len(found) == 1 else None


def broken_file(folder: Path, path: Path, problem: VolumeError) -> MaskedSeries:
    """Return the case of a file that cannot be read."""
    return MaskedSeries(name=name_below(folder, path), mask=path, series=None, problem=str(problem))


def name_below(folder: Path, path: Path) -> str:
    """Return the name of the case of a file without a series."""
    return composed("_".join(path.relative_to(folder).with_suffix("").parts))


def name_of(folder: Path, series: ImageSeries) -> str:
    """Return the name of the case of a series."""
    parts = series.folder.relative_to(folder).parts or (Path(os.path.abspath(folder)).name,)
    return composed("_".join(parts if series.is_alone else (*parts, series.modality)))
