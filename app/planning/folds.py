"""The folds of a planned bundle: drawn by patient, or given."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybridseg.transforms.datasets.dataset import Dataset
from hybridseg.transforms.datasets.folds import make_folds
from hybridseg.transforms.datasets.grouping import Patients, split_patients

from .options import PlanOptions
from .planner import Decision

logger = logging.getLogger(__name__)


def draw_folds(dataset: Dataset, patients: Patients, options: PlanOptions) -> dict[str, Any]:
    """Divide the cases without problems into folds.

    Raises:
        ValueError: they belong to fewer than two patients.
    """
    count = len(set(patients.by_case.values()))
    if count < 2:
        found = f"patients with cases without problems: {count}"
        raise ValueError(f"dataset: {dataset.folder}: {found}: must be at least 2")
    names = list(patients.by_case)
    folds = make_folds(names, folds=min(options.folds, count), seed=options.seed, patient=patients)
    return {"folds": folds, "test": []}


def use_folds(split: Mapping[str, Any], patients: Patients, path: Path) -> dict[str, Any]:
    """Return given folds without the cases that the dataset lacks or that have problems, and log how many these are.

    Also warns of patients with cases in several folds.

    Raises:
        ValueError: a fold would be empty.
    """
    names = patients.by_case
    folds = [[name for name in fold if name in names] for fold in split["folds"]]
    listed = [name for fold in (*split["folds"], split["test"]) for name in fold]
    if missing := len([name for name in listed if name not in names]):
        logger.warning("%d of %d cases of %s are missing or have problems", missing, len(listed), path)
    if unused := len(set(names) - set(listed)):
        logger.warning("%d cases are not listed in %s and are ignored", unused, path)
    if [] in folds:
        rule = "must have a case of the dataset that has no problems"
        raise ValueError(f"split_file: {path}: fold {folds.index([])}: {rule}")
    test = [name for name in split["test"] if name in names]
    if divided := split_patients([*folds, test], patients):
        found = "%d patients, such as %s, have cases in several folds of %s, or in folds and test"
        logger.warning(found, len(divided), divided[0], path)
    return {"folds": folds, "test": test}


def explain_folds(split: Mapping[str, Any], patients: Patients, options: PlanOptions) -> Decision:
    """Return the number of folds, and what was assumed about patients."""
    count = len(set(patients.by_case.values()))
    if options.split_file is not None:
        reason = f"The folds of {options.split_file.name}."
    elif count == len(patients.by_case):
        reason = "Every case counts as a patient of its own; --patient names another rule."
    else:
        given = [f"{len(patients.by_case)} cases of {count} patients, as given"] if options.patient else []
        reason = " ".join(f"{line}." for line in ("Cases of a patient share a fold", *given, *patients.assumptions))
    return Decision("folds", len(split["folds"]), reason)
