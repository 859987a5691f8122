"""What a report finds in the folders it is given: the record of a prediction run, scores that are there, images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from tqdm import tqdm

from hybridseg.app.evaluation.metrics import LabelScore, Outcome
from hybridseg.app.inference.run_record import RUN, read_record
from hybridseg.app.labels.files import load_labels
from hybridseg.app.labels.label_maps import count_labels
from hybridseg.transforms.datasets.dataset import read_json
from hybridseg.transforms.datasets.inputs import InputCase, find_cases
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.names import case_name, find_volumes, list_volumes

from .cohort import Cohort

SCORES, SUMMARY = "scores.json", "summary.json"
MEASURES = ("reference_ml", "prediction_ml", "volume_difference_ml", "dice", "surface_dice", "hd95", "assd")
SCORES_RULE = "must be written by hybridseg evaluate -o"


def run_record(predictions: Path) -> Mapping[str, Any]:
    """The record that `hybridseg predict` left beside its label maps; empty where there is none.

    Raises:
        VolumeError: it is not one.
    """
    path = (predictions if predictions.is_dir() else predictions.parent) / RUN
    record = read_record(path)
    cases = record.get("cases", [])
    if not isinstance(cases, list) or not all(isinstance(case, Mapping) and "case" in case for case in cases):
        raise VolumeError(path, "cases that are none", "must be written by hybridseg predict")
    return record


def read_scores(folder: Path) -> tuple[list[LabelScore], float]:
    """The scores that `hybridseg evaluate` wrote into a folder, and the tolerance of their surface Dice in mm.

    Raises:
        VolumeError: they are not there, or are not such scores.
    """
    path = folder / SCORES
    records = read_json(path)
    if not isinstance(records, list) or not all(is_score(row) for row in records):
        raise VolumeError(path, "no list of scores", SCORES_RULE)
    try:
        tolerance = float(read_json(folder / SUMMARY)["tolerance_mm"])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, VolumeError):
            raise
        raise VolumeError(folder / SUMMARY, "no tolerance_mm", SCORES_RULE) from error
    return [LabelScore(**row) for row in records], tolerance


def is_score(row: Any) -> bool:
    """Whether a record has the fields of a score, with values of their kinds."""
    if not isinstance(row, Mapping) or set(row) != {field.name for field in fields(LabelScore)}:
        return False
    words = all(isinstance(row[name], str) for name in ("case", "name")) and row["outcome"] in get_args(Outcome)
    counts = all(type(row[name]) is int for name in ("label", "reference_voxels", "prediction_voxels"))
    return words and counts and all(row[name] is None or type(row[name]) in (int, float) for name in MEASURES)


def newer_than(path: Path, others: Iterable[Path]) -> bool:
    """Whether a file is there, and none of the others was written after it; one that is gone is told later."""
    return path.is_file() and all(
        other.stat().st_mtime <= path.stat().st_mtime for other in others if os.path.exists(other)
    )


def recorded_image(record: Mapping[str, Any], case: str) -> InputCase | None:
    """Find the image of a case in the record of `hybridseg predict`; None if it does not exist any more.

    Raises:
        VolumeError: it cannot be used.
    """
    options = record.get("options")
    series = options.get("series") if isinstance(options, Mapping) else None
    for known in record.get("cases", []):
        if known["case"] == case and (paths := recorded_inputs(known)):
            found = [part for path in paths for part in find_cases([path], series=series)]
            return InputCase(case, tuple(image for part in found for image in part.images))
    return None


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


def failed_cases(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The cases that `hybridseg predict` could not segment, each with its line."""
    failed = [case for case in record.get("cases", []) if case.get("outcome") == "failed"]
    return [(str(case["case"]), str(case.get("error"))) for case in failed]


def case_files(path: Path, *, may_be_empty: bool = False) -> dict[str, Path]:
    """The label map of each case in a folder, or the one that a file is.

    Raises:
        VolumeError: there are none, though there must be, or two of one name.
    """
    if may_be_empty and path.is_dir() and not list_volumes(path):
        return {}
    return {case_name(volume): volume for volume in find_volumes([path])}


def scores_for(
    cohort: Cohort, folder: Path, *, chosen: Path | None, tolerance: float | None
) -> tuple[list[LabelScore], float] | None:
    """The scores of a cohort that `hybridseg evaluate` has written, and the tolerance of their surface Dice in mm.

    Args:
        cohort: whose scores.
        folder: of its label maps; the scores in it are taken where they are newer than these, of these cases and
            labels, of that tolerance, and of these references, as far as their voxels tell.
        chosen: the folder of scores to take whatever their age.
        tolerance: in mm; None takes any.

    Returns:
        None where there are no scores to take.

    Raises:
        VolumeError: the chosen scores cannot be read, or are of other cases or of another tolerance.
    """
    path = (chosen or folder) / SCORES
    if chosen is None and not newer_than(path, [*cohort.predictions.values(), *cohort.references.values()]):
        return None
    scores, measured_at = read_scores(path.parent)
    cases = {score.case for score in scores}
    known = cohort.regions or cohort.label_names
    names = None if known is None else {*(known if cohort.regions else known.values())}
    if chosen is not None:
        if strange := sorted(cases - set(cohort.predictions)):
            raise VolumeError(path, f"scores of {strange[0]!r}", f"must be of the label maps in {folder}")
        if tolerance not in (None, measured_at):
            raise VolumeError(
                path, f"surface Dice at {measured_at:g} mm", f"must be at the tolerance, {tolerance:g} mm"
            )
        return scores, measured_at
    fits = cases == set(cohort.predictions) and tolerance in (None, measured_at)
    fits = fits and (names is None or {score.name for score in scores} <= names)
    return (scores, measured_at) if fits and are_against(scores, cohort) else None


def are_against(scores: Iterable[LabelScore], cohort: Cohort) -> bool:
    """Whether the references of a cohort have as many voxels with each label as those of the scores had.

    The scores do not tell what they were measured against; the label maps of another reader have other voxels.
    """
    by_case: dict[str, list[LabelScore]] = {}
    for score in scores:
        by_case.setdefault(score.case, []).append(score)
    compared = {case: path for case, path in cohort.references.items() if case in by_case}
    for case, path in tqdm(compared.items(), desc="references", unit="case", leave=False, disable=None):
        try:
            labels, _ = load_labels(path)
        except ValueError:  # told when it is measured
            return False
        counts = dict(enumerate(count_labels(labels).tolist()))
        for score in by_case[case]:
            if sum(counts.get(label, 0) for label in cohort.members(score)) != score.reference_voxels:
                return False
    return True
