"""The cases of a viewer: which there are, worst first, and the image and labels of one as NIfTI for the browser."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from hybridseg.app.bundling.config import input_channels, input_modalities, label_rois, label_structures, shown_window
from hybridseg.app.evaluation.references import Reference, find_references
from hybridseg.app.inference.run_record import RunRecord, recorded_bundle
from hybridseg.app.labels.files import load_labels
from hybridseg.app.labels.label_maps import LabelMap, count_labels, mask_dice, resample_labels
from hybridseg.app.reporting.cohort import Cohort
from hybridseg.app.reporting.outliers import cohort_volumes
from hybridseg.app.reporting.sources import SUMMARY, case_files, cases_outside, newer_than, read_scores, recorded_image
from hybridseg.bundles import bundle_path
from hybridseg.transforms.datasets.input_case import InputCase
from hybridseg.transforms.datasets.inputs import find_cases
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.grid import grid_difference, voxel_volume_ml
from hybridseg.transforms.io.load import LoadVolumed
from hybridseg.transforms.io.names import check_exists, find_volumes, list_volumes
from hybridseg.transforms.structures import Structure, describe_structures

CT_WINDOWS: Mapping[str, tuple[float, float]] = {
    "Soft tissue": (-160, 240),
    "Lung": (-1350, 150),
    "Bone": (-450, 1050),
    "Brain": (0, 80),
}
"""Intensities in HU drawn black and white."""
PERCENTILES: Mapping[str, tuple[float, float]] = {
    "1 to 99.5 %": (1, 99.5),
    "5 to 95 %": (5, 95),
    "Full range": (0, 100),
}
"""Percentiles of the intensities drawn black and white, for images without a unit."""
SAMPLED = 1_000_000
"""Voxels that percentiles are taken of, about."""
CACHED = 2
"""Cases whose label maps are kept in memory."""


@dataclass(frozen=True, kw_only=True)
class ViewedCase:
    """A case of a viewer.

    Args:
        name: its name.
        image: the image; None shows the labels alone.
        prediction: the predicted label map; None if there is none.
        reference: the reference; None if there is none.
        dice: mean Dice over the labels, of an earlier evaluation; None if not known.
        remark: what the list says of it, such as that a volume is an outlier.
    """

    name: str
    image: InputCase | None = None
    prediction: Path | None = None
    reference: Reference | None = None
    dice: float | None = None
    remark: str = ""


@dataclass(frozen=True)
class LoadedLabels:
    """Label maps of a case on their own grids, each (X, Y, Z) with its affine (4, 4), by layer."""

    maps: Mapping[str, tuple[LabelMap, NDArray[np.floating]]]


@dataclass(kw_only=True)
class Viewing:
    """The cases to view.

    Args:
        title: what they are.
        cases: in the order of the list.
        structures: what the labels stand for; labels that are not listed get names and colours by their number.
        window: intensities of CT in HU drawn black and white at first; None for others.
        channels: channels of an image in one file.
    """

    title: str
    cases: Sequence[ViewedCase]
    structures: Sequence[Structure] = ()
    window: tuple[float, float] | None = None
    channels: int = 1
    _loaded: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._loaded = lru_cache(maxsize=CACHED)(self._load)

    def listed(self) -> list[dict[str, Any]]:
        """Return what the list shows of each case, without reading its files."""
        return [{"name": case.name, "dice": case.dice, "remark": case.remark} for case in self.cases]

    def describe(self, index: int) -> dict[str, Any]:
        """Return what the page shows beside a case: its layers, its labels with volumes and Dice.

        Raises:
            ValueError: a file cannot be read.
        """
        case, maps = self.cases[index], self._loaded(index).maps
        structures = self.structures_of(maps)
        channels = 0 if case.image is None else max(len(case.image.images), self.channels)
        return {
            "name": case.name,
            "layers": ["image", *maps],
            "channels": channels,
            "labels": [describe_label(structure, maps) for structure in structures],
            "missing": "" if case.image else "Its image was not found, so that its labels are shown alone.",
        }

    def structures_of(self, maps: Mapping[str, tuple[LabelMap, NDArray[np.floating]]]) -> list[Structure]:
        """Return the structures to list of a case: those of the bundle, and others found in its label maps."""
        found = {int(label) for labels, _ in maps.values() for label in np.flatnonzero(count_labels(labels))} - {0}
        known = {structure.label for structure in self.structures}
        others = describe_structures({number: f"label {number}" for number in range(1, max(found, default=0) + 1)})
        return [*self.structures, *(other for other in others if other.label in found - known)]

    def image(self, index: int, channel: int) -> tuple[bytes, list[dict[str, Any]]]:
        """Return a channel of the image of a case as a NIfTI file, and the windows to choose from.

        Raises:
            ValueError: it cannot be read, or there is no such channel.
        """
        case = self.cases[index]
        if case.image is None:
            labels, affine = next(iter(self._loaded(index).maps.values()))
            return nifti_bytes(np.zeros(labels.shape, np.uint8), affine), [named_window("", 0, 1)]
        several = len(case.image.images) > 1
        entry = case.image.entry["image"]
        source: dict[Hashable, Any] = {"image": entry[channel] if several else entry}
        volume = LoadVolumed(["image"], channels=1 if several else self.channels)(source)["image"]
        voxels = volume[0 if several else channel].numpy()
        return nifti_bytes(smallest(voxels), volume.affine.numpy()), windows(voxels, None if channel else self.window)

    def labels(self, index: int, layer: str) -> bytes:
        """Return a label map of a case as a NIfTI file, whose labels are places in the list of `describe`, from 1.

        Raises:
            ValueError: it cannot be read.
            KeyError: there is no such layer.
        """
        maps = self._loaded(index).maps
        labels, affine = maps[layer]
        structures = self.structures_of(maps)
        place = np.zeros(int(labels.max()) + 1, np.uint8 if len(structures) < 256 else np.uint16)
        for number, structure in enumerate(structures, 1):
            if structure.label < len(place):
                place[structure.label] = number
        return nifti_bytes(place[labels], affine, intent="label")

    def _load(self, index: int) -> LoadedLabels:
        case = self.cases[index]
        maps = {}
        if case.prediction is not None:
            maps["prediction"] = load_labels(case.prediction)
        if case.reference is not None:
            grid = case.prediction or (case.image.images[0] if case.image else None)
            maps["reference"] = load_labels(case.reference, grid_of=grid)
        return LoadedLabels(maps)


def open_cases(
    paths: Sequence[Path], *, references: Path | None = None, images: Path | None = None, bundle: str | None = None
) -> Viewing:
    """Find the cases to view.

    Args:
        paths: a folder of label maps, such as `hybridseg predict` writes; or an image, and optionally its label map.
        references: references, as `find_references` takes them.
        images: images of the label maps in a folder; None takes those in the record of the run.
        bundle: name or folder; None takes the bundle in the record.

    Raises:
        ValueError: a path does not exist, holds no cases, or does not match the others.
    """
    for path in (*paths, *(path for path in (references, images) if path is not None)):
        check_exists(path)
    is_folder = len(paths) == 1 and paths[0].is_dir() and bool(list_volumes(paths[0]))
    if len(paths) > 2 or (len(paths) == 2 and paths[1].is_dir()):
        raise ValueError(f"inputs: {paths[-1]}: must be one folder, or an image and its label map")
    if images is not None and not is_folder:
        raise ValueError(f"images: {images}: must be given with a folder of label maps")
    place = paths[-1] if is_folder else paths[-1].parent
    record = RunRecord(place) if is_folder or len(paths) == 2 else None
    folder = bundle_path(bundle) if bundle is not None else recorded_bundle(record) if record else None
    channels = 1 if folder is None else input_channels(folder)
    modalities = () if folder is None else input_modalities(folder)
    if is_folder:
        assert record is not None
        predictions = case_files(place)
        given = None if images is None else {case.name: case for case in find_cases([images], channels=channels)}
    else:
        given = {case.name: case for case in find_cases(paths[:1], channels=channels, modalities=modalities)}
        if len(given) != 1:
            raise ValueError(f"inputs: {paths[0]}: {len(given)} cases: must be one image, or a folder of label maps")
        predictions = dict.fromkeys(given, find_volumes(paths[1:])[0]) if len(paths) == 2 else {}
    rois = label_rois(folder) if folder is not None else {}
    names = [*predictions] or [*(given or ())]
    found: dict[str, Reference] = {}
    if references is not None:
        found = find_references(references, rois, predicted=names, modality=next(iter(modalities), None))
        if not is_folder and len(found) == 1:  # the reference of the one image, whatever its name
            found = dict.fromkeys(names, next(iter(found.values())))
        if not found.keys() & {*names}:
            raise ValueError(f"references: {references}: none is named for a case, such as {names[0]}")
    structures = label_structures(folder) if folder is not None else []
    cohort = measured_cohort(place, predictions, found, record if is_folder else None, structures)
    order = cohort.worst_first()
    outside = dict(cases_outside(record, names)) if record else {}
    return Viewing(
        title=paths[0].resolve().name,
        cases=[
            ViewedCase(
                name=name,
                image=find_image(name, given, record),
                prediction=predictions.get(name),
                reference=found.get(name),
                dice=mean_dice(cohort, name),
                remark=remark(cohort, name, name in outside),
            )
            for name in [*order, *(name for name in names if name not in order)]
        ],
        structures=structures,
        window=None if folder is None else shown_window(folder),
        channels=channels,
    )


def measured_cohort(
    folder: Path,
    predictions: Mapping[str, Path],
    references: Mapping[str, Reference],
    record: RunRecord | None,
    structures: Sequence[Structure],
) -> Cohort:
    """Return the cohort with the scores, or else the statistics, that lie beside its label maps; none are measured."""
    cohort = Cohort(predictions=predictions, references=references)
    scores = folder / "scores.json"
    if record is None:
        return cohort
    if newer_than(scores, predictions.values()) and (folder / SUMMARY).is_file():
        cohort.scores = [score for score in read_scores(folder).scores if score.case in predictions]
    elif record.earlier_statistics:
        volumes = {
            case: {int(row["label"]): float(row["volume_ml"]) for row in rows if not row.get("channel")}
            for case, rows in record.earlier_statistics.items()
            if case in predictions
        }
        cohort.volumes = cohort_volumes(volumes, label_names={item.label: item.name for item in structures} or None)
    return cohort


def find_image(name: str, given: Mapping[str, InputCase] | None, record: RunRecord | None) -> InputCase | None:
    """Return the image of a case: of those given, or else of the record; None if there is none."""
    if given is not None:
        return given.get(name)
    try:
        return None if record is None else recorded_image(record, name)
    except VolumeError:  # such as a DICOM folder that has changed since
        return None


def mean_dice(cohort: Cohort, case: str) -> float | None:
    """Return the mean Dice of a case over its labels; None if it has no scores."""
    dice = [score.dice for score in cohort.scores if score.case == case and score.dice is not None]
    return round(fmean(dice), 3) if dice else None


def remark(cohort: Cohort, case: str, outside: bool) -> str:
    """Return what the list says of a case, in few words."""
    outliers = [
        f"{volume.name} {volume.z:+.1f} z" for volume in cohort.volumes if volume.case == case and volume.outlier
    ]
    return ", ".join([*(["unlike training data"] if outside else []), *outliers])


def describe_label(structure: Structure, maps: Mapping[str, tuple[LabelMap, NDArray[np.floating]]]) -> dict[str, Any]:
    """Return name, colour, volumes, Dice and place of a label in the maps of a case."""
    masks = {layer: labels == structure.label for layer, (labels, _) in maps.items()}
    volumes = {
        layer: round(float(np.count_nonzero(masks[layer]) * voxel_volume_ml(affine)), 3)
        for layer, (_, affine) in maps.items()
    }
    return {
        "name": structure.name,
        "colour": structure.colour,
        "volumes": volumes,
        "dice": dice(masks, maps),
        "centre": next((centre(mask, maps[layer][1]) for layer, mask in masks.items() if mask.any()), None),
    }


def dice(
    masks: Mapping[str, NDArray[np.bool_]], maps: Mapping[str, tuple[LabelMap, NDArray[np.floating]]]
) -> float | None:
    """Return the Dice of a label in a prediction and its reference; None without both, or if neither has it."""
    if len(masks) < 2:
        return None
    (predicted, affine), (reference, grid) = ((masks[name], maps[name][1]) for name in ("prediction", "reference"))
    if grid_difference(predicted.shape, affine, reference.shape, grid):
        predicted = resample_labels(predicted.astype(np.uint8), affine, reference.shape, grid) > 0
    found = mask_dice(predicted, reference)
    return None if found is None else round(found, 3)


def centre(mask: NDArray[np.bool_], affine: NDArray[np.floating]) -> list[float]:
    """Return the voxel of a mask (X, Y, Z) that is nearest to its centre, in RAS mm."""
    box = find_objects(mask.astype(np.uint8))[0]
    inside = np.argwhere(mask[box])
    inside = inside[:: max(1, len(inside) // SAMPLED)]
    nearest = inside[((inside - inside.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    voxel = [*(nearest + [part.start for part in box]), 1]
    return [round(float(value), 2) for value in (affine @ voxel)[:3]]


def windows(voxels: NDArray[np.floating], window: tuple[float, float] | None) -> list[dict[str, Any]]:
    """Return the windows to choose from, the first one first: of CT in HU, of others in percentiles.

    Args:
        voxels: the image.
        window: window of a bundle for CT; None takes an image with air (below -900) for CT.
    """
    sample = voxels.ravel(order="K")[:: max(1, voxels.size // SAMPLED)]
    if window is None and sample.min() > -900:
        shares = [share for pair in PERCENTILES.values() for share in pair]
        levels = np.percentile(sample, shares).reshape(-1, 2)
        return [named_window(name, *pair) for name, pair in zip(PERCENTILES, levels.tolist(), strict=True)]
    own = [] if window is None or window in CT_WINDOWS.values() else [named_window("Bundle", *window)]
    return [*own, *(named_window(name, *pair) for name, pair in CT_WINDOWS.items())]


def named_window(name: str, low: float, high: float) -> dict[str, Any]:
    """Return a window with its name; one without width gets some."""
    low, high = float(f"{low:.4g}"), float(f"{high:.4g}")
    return {"name": name, "low": low, "high": high if high > low else low + 1}


def smallest(voxels: NDArray[np.floating]) -> NDArray[Any]:
    """Return voxels as int16 if that changes none, or else as float32."""
    short = np.clip(voxels, -32768, 32767).astype(np.int16)
    return short if np.array_equal(short, voxels) else voxels.astype(np.float32)


def nifti_bytes(voxels: NDArray[Any], affine: NDArray[np.floating], intent: str = "none") -> bytes:
    """Return a NIfTI file of voxels (X, Y, Z) with an affine (4, 4) to RAS mm."""
    image = nib.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    image.header.set_intent(intent, name="")
    content: bytes = image.to_bytes()
    return content
