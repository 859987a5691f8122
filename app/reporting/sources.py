"""Input files of a report: label maps, the record of a prediction run, scores of an earlier evaluation, images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from math import inf, isfinite
from pathlib import Path
from typing import Any, get_args

import numpy as np
from tqdm import tqdm

from hybridseg.app.bundling.config import input_modalities
from hybridseg.app.evaluation.files import load_pair
from hybridseg.app.evaluation.metrics import LabelScore, Outcome
from hybridseg.app.inference.run_record import RunRecord
from hybridseg.app.labels.label_maps import count_labels
from hybridseg.app.runtime.console import hides_bars
from hybridseg.transforms.datasets.input_case import DicomChoice, InputCase
from hybridseg.transforms.datasets.input_list import as_image
from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.io.json_files import read_json
from hybridseg.transforms.io.names import case_name, find_volumes, list_volumes

from .cohort import Cohort

SCORES, SUMMARY = "scores.json", "summary.json"
COUNTS = ("label", "reference_voxels", "prediction_voxels")
MEASURES: Mapping[str, tuple[float, float]] = {
    "reference_ml": (0, inf),
    "prediction_ml": (0, inf),
    "volume_difference_ml": (-inf, inf),
    "dice": (0, 1),
    "surface_dice": (0, 1),
    "hd95": (0, inf),
    "assd": (0, inf),
}
"""The measures of a score, each with its smallest and its largest value; any may be None."""
SCORES_RULE = "must be written by hybridseg evaluate -o"


def run_record(predictions: Path) -> RunRecord:
    """Read the record that `hybridseg predict` wrote beside its label maps; empty if there is none.

    Raises:
        VolumeError: the file is not such a record.
    """
    return RunRecord(predictions if predictions.is_dir() else predictions.parent)


@dataclass(frozen=True, kw_only=True)
class EarlierScores:
    """Scores that `hybridseg evaluate` wrote, and how they were measured.

    Args:
        scores: of cases and labels.
        tolerance: of the surface Dice, in mm.
        ignore: label of voxels without annotation, which counted for nothing; None if there was none.
        resample: whether label maps on another grid were resampled.
        recorded: whether `ignore` and `resample` are known; earlier versions did not record them.
    """

    scores: list[LabelScore]
    tolerance: float
    ignore: int | None
    resample: bool
    recorded: bool

    def describe(self) -> str:
        """Return how they were measured, in words."""
        ignored = "" if self.ignore is None else f", label {self.ignore} ignored"
        return f"of an earlier evaluation{ignored}{', label maps resampled' if self.resample else ''}"


def read_scores(folder: Path) -> EarlierScores:
    """Read the scores that `hybridseg evaluate` wrote to a folder.

    Raises:
        VolumeError: the files are missing, or are not such scores.
    """
    path, summary_path = folder / SCORES, folder / SUMMARY
    records = read_json(path)
    if not isinstance(records, list) or not all(is_score(row) for row in records):
        raise VolumeError(path, "no list of scores", SCORES_RULE)
    summary = read_json(summary_path)
    tolerance = summary.get("tolerance_mm") if isinstance(summary, Mapping) else None
    if tolerance is None or not in_range(tolerance, 0, inf) or tolerance == 0:
        raise VolumeError(summary_path, "no tolerance_mm", SCORES_RULE)
    ignore, resample = summary.get("ignore"), summary.get("resample", False)
    if not (ignore is None or (type(ignore) is int and ignore > 0)) or type(resample) is not bool:
        raise VolumeError(summary_path, "no options of the scores", SCORES_RULE)
    scores = [LabelScore(**row) for row in records]
    recorded = "ignore" in summary
    return EarlierScores(scores=scores, tolerance=float(tolerance), ignore=ignore, resample=resample, recorded=recorded)


def is_score(row: Any) -> bool:
    """Whether a record has the fields of a `LabelScore`, with values of the right types."""
    if not isinstance(row, Mapping) or set(row) != {field.name for field in fields(LabelScore)}:
        return False
    words = all(isinstance(row[name], str) for name in ("case", "name")) and row["outcome"] in get_args(Outcome)
    counts = all(type(row[name]) is int and row[name] >= 0 for name in COUNTS)
    return words and counts and all(row[name] is None or in_range(row[name], *MEASURES[name]) for name in MEASURES)


def in_range(value: Any, least: float, most: float) -> bool:
    """Whether a value is a finite number in a range."""
    return type(value) in (int, float) and isfinite(value) and least <= value <= most


def newer_than(path: Path, others: Iterable[PathLike]) -> bool:
    """Whether a file exists and no other was written after it; missing others are reported when they are loaded."""
    return path.is_file() and all(
        os.stat(other).st_mtime <= path.stat().st_mtime for other in others if os.path.exists(other)
    )


def recorded_image(record: RunRecord, case: str) -> InputCase | None:
    """Find the image of a case in the record of `hybridseg predict`; None if it does not exist any more.

    Raises:
        VolumeError: it cannot be used.
    """
    paths = recorded_inputs(record.earlier.get(case, {}))
    if not paths:
        return None
    settings = record.settings_of(case)
    options = settings.get("options")
    options = options if isinstance(options, Mapping) else {}
    bundle = Path(str(settings.get("bundle", "")))
    dicom = DicomChoice(
        channels=len(paths),
        series=str(options["series"]).split(",") if options.get("series") else (),
        modalities=input_modalities(bundle) if (bundle / "configs").is_dir() else (),
        fill_gaps=bool(options.get("fill_gaps")),
    )
    return InputCase(case, tuple(as_image(Path(path), index, dicom) for index, path in enumerate(paths)))


def recorded_inputs(case: Mapping[str, Any]) -> list[str]:
    """Return the input paths in the record of a case: all of them, or none if one does not exist any more."""
    inputs = case.get("inputs")
    if not isinstance(inputs, list):  # an earlier version joined them
        return recorded_paths(str(case.get("input", "")))
    return inputs if all(os.path.exists(str(path)) for path in inputs) else []


def recorded_paths(joined: str) -> list[str]:
    """Split the input paths that earlier versions joined by ", ", which a path may contain too (`Doe, Jane`).

    Returns:
        All of them, or none if one does not exist any more.
    """
    paths, parts = [], joined.split(", ")
    while parts:
        beginnings = {count: ", ".join(parts[:count]) for count in range(len(parts), 0, -1)}
        found = next((count for count, path in beginnings.items() if os.path.exists(path)), None)
        if found is None:
            return []
        paths.append(beginnings[found])
        parts = parts[found:]
    return paths


def failed_cases(record: RunRecord) -> list[tuple[str, str]]:
    """Return the cases that failed in `hybridseg predict`, each with its error."""
    failed = [case for case in record.earlier.values() if case.get("outcome") == "failed"]
    return [(str(case["case"]), str(case.get("error"))) for case in failed]


def cases_outside(record: RunRecord, cases: Iterable[str]) -> list[tuple[str, str]]:
    """Return the cases whose scan is outside what the model was trained on, each with how it differs."""
    recorded = ((case, record.earlier.get(case, {}).get("outside")) for case in cases)
    return [(case, ", ".join(map(str, found))) for case, found in recorded if isinstance(found, list) and found]


def case_files(path: Path, *, may_be_empty: bool = False) -> dict[str, Path]:
    """Find the label map of each case in a folder, or of the one case of a file.

    Args:
        path: folder or file.
        may_be_empty: allow a folder without label maps.

    Raises:
        VolumeError: there are none, or two of the same name.
    """
    if may_be_empty and path.is_dir() and not list_volumes(path):
        return {}
    return {case_name(volume): volume for volume in find_volumes([path])}


def scores_for(cohort: Cohort, folder: Path, *, chosen: Path | None, tolerance: float | None) -> EarlierScores | None:
    """Find scores of a cohort that `hybridseg evaluate` wrote.

    Scores beside the label maps are used only if they are newer than the label maps and references and have the same
    cases, labels, tolerance, ignored label, and numbers of voxels in both label maps.

    Args:
        cohort: the cohort.
        folder: folder of its label maps.
        chosen: folder of scores to use regardless of their age; None looks beside the label maps.
        tolerance: in mm; None accepts any.

    Returns:
        None if there are no scores to use.

    Raises:
        VolumeError: the scores cannot be read, or the chosen ones have other cases, another tolerance, or ignore
            another label.
    """
    path = (chosen or folder) / SCORES
    maps = [*cohort.predictions.values(), *cohort.references.values()]
    if chosen is None and not (newer_than(path, maps) and (folder / SUMMARY).is_file()):
        return None
    found = read_scores(path.parent)
    cases = {score.case for score in found.scores}
    known = cohort.regions or cohort.label_names
    comparable = known is not None and found.recorded  # without a bundle, the cohort's own label is not known
    same_ignore = not comparable or found.ignore == cohort.ignore
    if chosen is not None:
        if unknown := sorted(cases - set(cohort.predictions)):
            raise VolumeError(path, f"scores of {unknown[0]!r}", f"must be of the label maps in {folder}")
        if tolerance not in (None, found.tolerance):
            rule = f"must be at the tolerance, {tolerance:g} mm"
            raise VolumeError(path, f"surface Dice at {found.tolerance:g} mm", rule)
        if not same_ignore:
            rule = f"must be {cohort.ignore}, the label that the bundle ignores"
            raise VolumeError(path, f"ignore {found.ignore}", rule)
        return found
    names = None if known is None else {*(known if cohort.regions else known.values())}
    matching = cases == set(cohort.predictions) and tolerance in (None, found.tolerance) and same_ignore
    matching = matching and (names is None or {score.name for score in found.scores} <= names)
    return found if matching and have_same_maps(found, cohort) else None


def have_same_maps(found: EarlierScores, cohort: Cohort) -> bool:
    """Whether each label has as many voxels in the label maps of a cohort, and in its references, as in the scores.

    The scores do not record their files, and times do not tell: copied files keep theirs. Another reader's label maps,
    or those of other weights, differ in their numbers of voxels.
    """
    by_case: dict[str, list[LabelScore]] = {}
    resample = found.resample or cohort.resample
    for score in found.scores:
        by_case.setdefault(score.case, []).append(score)
    compared = {case: path for case, path in cohort.references.items() if case in by_case}
    for case, path in tqdm(compared.items(), desc="earlier scores", unit="case", leave=False, disable=hides_bars()):
        try:
            prediction, reference, _ = load_pair(cohort.predictions[case], path, resample=resample)
        except ValueError:  # reported when it is scored
            return False
        if (ignore := cohort.ignore if cohort.label_names else found.ignore) is not None:
            ignored = reference == ignore
            prediction, reference = np.where(ignored, 0, prediction), np.where(ignored, 0, reference)
        counts = [dict(enumerate(count_labels(labels).tolist())) for labels in (reference, prediction)]
        for score in by_case[case]:
            counted = [sum(count.get(label, 0) for label in cohort.members(score)) for count in counts]
            if counted != [score.reference_voxels, score.prediction_voxels]:
                return False
    return True
