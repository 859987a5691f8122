"""Label maps that no network made of a case that it was trained on: score them, measure them, finish them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from tqdm import tqdm

from hybridseg.app.evaluation.files import score_files
from hybridseg.app.evaluation.metrics import LabelScore, mask_of
from hybridseg.app.evaluation.references import as_reference
from hybridseg.app.labels.files import load_labels
from hybridseg.app.labels.label_maps import LabelMap, mask_dice
from hybridseg.app.runtime.console import hides_bars
from hybridseg.app.runtime.failed_cases import CaseFailures
from hybridseg.transforms.components import ComponentRule, remove_components
from hybridseg.transforms.datasets.dataset import LabelledCase, image_files
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.grid import voxel_volume_ml
from hybridseg.transforms.io.atomic import replacing
from hybridseg.transforms.io.dicom.series import DicomFolder
from hybridseg.transforms.io.json_files import write_json
from hybridseg.transforms.io.save import write_labels
from hybridseg.transforms.regions import Regions
from hybridseg.transforms.spatial.restore import restore_labels

from .split import Split
from .tuning import Decision, Part, PartComponents, Tuning, choose, decide_components, list_parts, measure_components

THRESHOLDS = (0.3, 0.4, 0.6, 0.7)
"""Candidates for the threshold of a region, besides 0.5."""
SMALLEST_PROBABILITY = 1 / 65535
"""The step in which probabilities are stored."""


@dataclass(kw_only=True)
class OutOfFold:
    """The out-of-fold predictions of one configuration.

    Args:
        cases: cases of all folds, by name.
        folders: folder of the label maps of each fold.
        split: folds and patients.
        label_names: names of the labels, by number.
        regions: labels of each region, if the network predicts regions.
        ignore: label of voxels without annotation in the references, which count for nothing.
        failures: collects the cases that cannot be measured.
    """

    cases: Mapping[str, LabelledCase]
    folders: Sequence[Path]
    split: Split
    label_names: Mapping[int, str]
    regions: Regions | None
    ignore: int | None = None
    failures: CaseFailures

    @property
    def maps(self) -> dict[str, Path]:
        """The label map of each case that has one and has not failed."""
        failed = {case for case, _ in self.failures.failures}
        paths = {case: self.folders[fold] / f"{case}.nii.gz" for case, fold in self.split.fold_of.items()}
        return {case: path for case, path in paths.items() if path.is_file() and case not in failed}

    def tune(self) -> Tuning:
        """Decide thresholds, and then components of the label maps with these thresholds."""
        parts = list_parts(self.label_names, self.regions)
        thresholds = self.tune_thresholds() if self.regions is not None else []
        kept = Tuning(thresholds=thresholds).options.get("thresholds", {})
        measured: dict[str, dict[str, PartComponents]] = {part.name: {} for part in parts}
        for case in tqdm(self.maps, desc="components", unit="case", leave=False, disable=hides_bars()):
            with self.failures.catch(case):
                labels, affine = self.restored(case, kept)
                reference, volume = self.reference(case, labels), 1000 * voxel_volume_ml(affine)
                for part in parts:
                    measured[part.name][case] = measure_components(labels, reference, part, volume, self.ignore)
        return Tuning(thresholds=thresholds, components=decide_components(parts, measured, self.split))

    def tune_thresholds(self) -> list[Decision]:
        """Decide the threshold of each region, with the others at 0.5."""
        assert self.regions is not None
        parts = list_parts(self.label_names, self.regions)
        dice: dict[str, dict[float, dict[str, float]]] = {
            part.name: {threshold: {} for threshold in (0.5, *THRESHOLDS)} for part in parts
        }
        for case in tqdm(self.maps, desc="thresholds", unit="case", leave=False, disable=hides_bars()):
            with self.failures.catch(case):
                for part in parts:
                    for threshold, values in dice[part.name].items():
                        labels, _ = self.restored(case, {part.name: threshold})
                        values[case] = overlap(labels, self.reference(case, labels), part, self.ignore)
        decisions = []
        for part in parts:
            candidates = [dice[part.name][threshold] for threshold in THRESHOLDS]
            index, gain, p = choose(dice[part.name][0.5], candidates, self.split)
            choice = None if index is None else THRESHOLDS[index]
            decisions.append(Decision.of(part.name, choice, gain, p, tests=len(parts)))
        return decisions

    def restored(
        self, case: str, thresholds: Mapping[str, float]
    ) -> tuple[LabelMap, np.ndarray[Any, np.dtype[np.floating]]]:
        """Return the labels of a case and their affine, restored from its probabilities if thresholds are given.

        Args:
            case: name of the case.
            thresholds: probability by region; without any, the label map is that of the network.
        """
        path = self.maps[case]
        labels, affine = load_labels(path)
        if not thresholds:
            return labels, affine
        stored = nib.Nifti1Image.from_filename(path.parent / "probabilities" / path.name)
        probabilities = torch.from_numpy(np.asarray(stored.dataobj, dtype=np.float32)).movedim(-1, 0)
        logits = torch.logit(probabilities, eps=SMALLEST_PROBABILITY)
        grid = np.asarray(stored.affine, dtype=np.float64)
        restored = restore_labels(logits, grid, labels.shape, affine, regions=self.regions, thresholds=thresholds)
        return restored, affine

    def reference(self, case: str, labels: LabelMap) -> LabelMap:
        """Return the reference of a case, which must have the shape of its label map."""
        path = as_reference(self.cases[case]["label"], {})
        reference, _ = load_labels(path, grid_of=self.maps[case])
        if reference.shape != labels.shape:
            raise VolumeError(path, f"shape {reference.shape}", f"must be that of the image, {labels.shape}")
        return reference

    def finish(self, folder: Path, tuning: Tuning) -> dict[str, Path]:
        """Write the label maps with the postprocessing that is kept; return them by case."""
        rules = [ComponentRule(**rule) for rule in tuning.options.get("components", [])]
        thresholds = tuning.options.get("thresholds", {})
        finished: dict[str, Path] = {}
        for case, path in tqdm(self.maps.items(), desc="label maps", unit="case", leave=False, disable=hides_bars()):
            with self.failures.catch(case):
                target = folder / path.name
                if rules or thresholds:
                    labels, affine = self.restored(case, thresholds)
                    remove_components(labels, rules, 1000 * voxel_volume_ml(affine))
                    write_labels(labels, target, reference=path, affine=affine)
                else:
                    with replacing(target) as temporary:
                        temporary.write_bytes(path.read_bytes())
                finished[case] = target
        return finished


def score_maps(
    maps: Mapping[str, Path],
    cases: Mapping[str, LabelledCase],
    *,
    label_names: Mapping[int, str],
    regions: Regions | None,
    ignore: int | None = None,
    tolerance: float,
    failures: CaseFailures,
) -> list[LabelScore]:
    """Score label maps against the references of their cases.

    Args:
        maps: label map of each case.
        cases: cases by name.
        label_names: names of the labels, by number.
        regions: labels of each region, if the network predicts regions.
        ignore: label of voxels without annotation in the references, which count for nothing.
        tolerance: of the surface Dice, in mm.
        failures: collects the cases that cannot be scored.
    """
    scores: list[LabelScore] = []
    for case, path in tqdm(maps.items(), desc="scores", unit="case", leave=False, disable=hides_bars()):
        with failures.catch(case):
            reference = as_reference(cases[case]["label"], {})
            scores += score_files(
                path, reference, label_names=label_names, regions=regions, ignore=ignore, tolerance=tolerance
            )
    return scores


def overlap(prediction: LabelMap, reference: LabelMap, part: Part, ignore: int | None = None) -> float:
    """Return the Dice of a part of two label maps, where the reference is annotated; 1 if both are empty, and so agree.

    Args:
        prediction: labels (X, Y, Z).
        reference: labels (X, Y, Z).
        part: the part.
        ignore: label of voxels without annotation in the reference.
    """
    predicted, wanted = mask_of(prediction, part.labels), mask_of(reference, part.labels)
    if ignore is not None:
        predicted &= reference != ignore
    dice = mask_dice(predicted, wanted)
    return 1.0 if dice is None else dice


def write_case_list(path: Path, cases: Sequence[LabelledCase]) -> None:
    """Write a list of cases for `hybridseg predict`."""
    rows = []
    for case in cases:
        images = [os.fspath(image) for image in image_files(case)]
        columns = ["image", *(f"image{number}" for number in range(2, len(images) + 1))]
        series = [image.series or "" if isinstance(image, DicomFolder) else "" for image in image_files(case)]
        named = {"series": ",".join(series)} if any(series) else {}
        rows.append({"case": case["case"]} | dict(zip(columns, images, strict=True)) | named)
    write_json(path, rows)
