"""Find the references of a command line: label maps, named masks, or the labels of a dataset."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from hybridseg.transforms.datasets.dataset import open_dataset, read_dataset
from hybridseg.transforms.datasets.layouts import LISTING
from hybridseg.transforms.io.dicom.stored import is_dicom
from hybridseg.transforms.io.masks import MaskFile, Rois, is_mask_file
from hybridseg.transforms.io.masks.references import read_summary
from hybridseg.transforms.io.names import (
    case_name,
    check_unique_cases,
    composed,
    find_volumes,
    list_volumes,
    volume_extension,
)

Reference = Path | MaskFile


def find_references(
    place: Path, rois: Rois, *, predicted: Collection[str] = (), modality: str | None = None
) -> dict[str, Reference]:
    """Find references by the name of their case.

    - A file is the reference of the case that it is named for; named masks also that of a single prediction.
    - A folder has label maps, or RTSTRUCT, SEG and `.seg.nrrd` files, named for their cases.
    - The folder of a dataset, with a dataset.json or DICOM series, has the labels of its cases. A prediction that is
      named after the folder of a patient, as by `predict`, belongs to the patient's only case.

    Args:
        place: file or folder.
        rois: labels by pattern of ROI names, for named masks.
        predicted: names of the predictions.
        modality: DICOM's code of the modality of the DICOM series to use; None for all.

    Raises:
        VolumeError: there are none, or a case has two.
    """
    if place.is_dir():
        volumes, masks = list_volumes(place), named_masks(place)
        has_listing = (place / LISTING).is_file()
        if not volumes and (has_listing or any(is_dicom(path) for path in place.rglob("*") if path not in masks)):
            channels = [modality] if modality else []
            cases = (
                open_dataset(place, rois=rois, channels=channels).cases if channels else read_dataset(place, rois=rois)
            )
            references = {case["case"]: as_reference(case["label"], rois) for case in cases}
            return name_as_predicted(references, predicted, own_name=place.resolve().name)
        files = sorted([*volumes, *masks])
    else:
        files = [place] if place.is_file() and is_mask_file(place) else []
    files = files or find_volumes([place])
    check_unique_cases(files)
    if place.is_file() and is_mask_file(place) and len(predicted) == 1:
        return {next(iter(predicted)): as_reference(place, rois)}
    return {reference_name(path): as_reference(path, rois) for path in files}


def name_as_predicted(
    references: Mapping[str, Reference], predicted: Collection[str], own_name: str
) -> dict[str, Reference]:
    """Give references of series in the folder of a patient the name of the folder, if a prediction has it.

    Args:
        references: by case.
        predicted: names of the predictions.
        own_name: name of the folder that all are in.
    """
    renamed = dict(references)
    for case in predicted:
        inside = [name for name in references if case == own_name or name.startswith(f"{case}_")]
        if case not in references and len(inside) == 1 and isinstance(references[inside[0]], MaskFile):
            renamed[case] = renamed.pop(inside[0])
    return renamed


def named_masks(folder: Path) -> list[Path]:
    """Return the DICOM files directly in a folder if all are masks."""
    found = [path for path in sorted(folder.iterdir()) if not volume_extension(path) and is_dicom(path)]
    return found if all(read_summary(path).is_mask for path in found) else []


def reference_name(path: Path) -> str:
    """Return the name of the case that a file is named for."""
    return case_name(path) if volume_extension(path) else composed(path.stem)


def as_reference(path: str | Path | MaskFile, rois: Rois) -> Reference:
    """Return a file with the labels of its ROIs; a label map as it is."""
    if isinstance(path, MaskFile):
        return path
    has_labels = bool(volume_extension(path)) and not rois  # a `.seg.nrrd` is a label map too
    return Path(path) if has_labels or not is_mask_file(path) else MaskFile(Path(path), rois)
