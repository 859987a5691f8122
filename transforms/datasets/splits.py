"""Split the cases of a dataset into training, validation and test."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.io.json_files import read_json, write_json
from hybridseg.transforms.io.masks import Rois
from hybridseg.transforms.io.names import composed

from .dataset import LabelledCase, read_dataset
from .grouping import Patients, find_patients

SUBSETS = ("training", "validation", "test")

Names = dict[str, list[str]]
"""Case names of each subset."""

logger = logging.getLogger(__name__)


def split_cases(
    dataset_dir: PathLike,
    split_file: PathLike | None = None,
    run_dir: PathLike | None = None,
    *,
    seed: int = 0,
    fractions: Sequence[float] = (0.75, 0.25),
    required: Sequence[str] = ("training", "validation"),
    fold: int = 0,
    rois: Rois | None = None,
    channels: Sequence[str] = (),
) -> dict[str, list[LabelledCase]]:
    """Split the cases of a dataset by a split file or, if the file is for another dataset, by a seed.

    If the dataset has any of the listed cases, the file is used: missing cases are counted in a warning, and cases that
    are not listed are ignored, so that a test case is never used for training. Otherwise the cases are shuffled by the
    seed, those of a patient together where their names or DICOM headers say which these are. The split is saved as
    `<run_dir>/split.json`, and a repeated or resumed run reads it from there, even if cases were added since. A run
    with checkpoints keeps its split, so that training cases never move to validation or test.
    Under torchrun all ranks make the same split, and only rank 0 writes it.

    Args:
        dataset_dir: dataset folder; see `open_dataset`.
        split_file: JSON with the case names of each subset: `{"training": [...], "validation": [...], "test": [...]}`,
            or of the folds of a cross-validation: `{"folds": [[...], [...], ...], "test": [...]}`; or nnU-Net's
            `splits_final.json`.
        run_dir: folder of the run, created if missing; None saves nothing.
        seed: seed of the shuffle.
        fractions: fractions of training, validation and optionally test; their sum is 1.
        required: subsets that must not be empty.
        fold: the fold of the split file to use for validation, from 0; the others are for training.
        rois: labels by pattern of ROI names, for labels in RTSTRUCT, SEG and `.seg.nrrd` files; None or empty for those
            in dataset.json.
        channels: names of the channels whose series make the cases of a DICOM tree, if dataset.json names none.

    Returns:
        The cases {"case", "image", "label"} of training, validation and test.

    Raises:
        VolumeError: the dataset or the split file cannot be used, the split file has no such fold, a required subset is
            empty, or training cases of the run in `run_dir` would move to validation or test, as with another fold or
            seed.
        ValueError: fractions are not two or three that add up to 1, an unknown subset is required, or a fold is given
            without a split file.
    """
    _check_fractions(fractions)
    if unknown := set(required) - set(SUBSETS):
        raise ValueError(f"required: {sorted(unknown)}: must be among {', '.join(SUBSETS)}")
    if split_file is None and fold != 0:
        raise ValueError(f"fold: {fold}: must be 0 unless a split file has folds")
    cases = {case["case"]: case for case in read_dataset(dataset_dir, rois=rois, channels=channels)}
    names = _listed_names(cases, split_file, fold) if split_file is not None else None
    record: dict[str, Any] = dict(names or {})
    if names is None:
        draw = {"seed": seed, "fractions": list(fractions)}
        names = _saved_names(cases, run_dir, draw) or shuffled_names(_patients_of(cases), seed, fractions)
        record = draw | names
    for subset in required:
        if not names[subset]:
            raise VolumeError(dataset_dir, f"{len(cases)} cases, none for {subset}", "at least one is needed")
    if run_dir is not None:
        _check_training_cases(Path(run_dir), names)
    if run_dir is not None and _is_first_process():
        write_json(Path(run_dir) / "split.json", record)
    return {subset: [cases[name] for name in names[subset]] for subset in SUBSETS}


def _listed_names(cases: dict[str, LabelledCase], split_file: PathLike, fold: int) -> Names | None:
    """Return the listed names that are in the dataset, or None if there are none."""
    listed = _read_names(Path(split_file), fold)
    names = {subset: [name for name in listed[subset] if name in cases] for subset in SUBSETS}
    present, wanted = sum(map(len, names.values())), sum(map(len, listed.values()))
    if not present and fold != 0:
        raise VolumeError(split_file, f"none of {wanted} cases is in the dataset", "folds must be of this dataset")
    if not present:
        logger.warning("none of the %d cases listed in %s is in the dataset: splitting by seed", wanted, split_file)
        return None
    for subset in ("training", "validation"):
        if missing := len(listed[subset]) - len(names[subset]):
            logger.warning("%d of %d %s cases of %s are missing", missing, len(listed[subset]), subset, split_file)
    if unused := len(cases) - present:
        logger.info("%d cases of the dataset are not listed in %s and are ignored", unused, split_file)
    return names


def _saved_names(cases: dict[str, LabelledCase], run_dir: PathLike | None, draw: dict[str, Any]) -> Names | None:
    """Return the split that an earlier run saved with this seed and fractions, if the dataset still has all cases."""
    saved = None if run_dir is None else Path(run_dir) / "split.json"
    if saved is None or not saved.exists():
        return None
    names = _read_names(saved)
    record = read_json(saved)
    same_draw = isinstance(record, dict) and draw.items() <= record.items()
    if same_draw and all(name in cases for listed in names.values() for name in listed):
        return names
    logger.warning("%s has another dataset, seed or fractions: replaced", saved)
    return None


def _check_training_cases(run_dir: Path, names: Names) -> None:
    """Check that no training case of a run with checkpoints moves to validation or test."""
    saved = run_dir / "split.json"
    if not saved.exists() or not any(run_dir.glob("checkpoint_epoch=*.pt")):
        return
    trained = set(_read_names(saved)["training"])
    if mixed := sorted(trained & {*names["validation"], *names["test"]}):
        found = f"{len(mixed)} training cases, such as {mixed[0]!r}, would move to validation or test"
        raise VolumeError(saved, found, "a run must resume with its own split: the same fold and seed")


def _patients_of(cases: Mapping[str, LabelledCase]) -> Patients:
    """Find the patients of cases, and log how."""
    patients = find_patients([cases[name] for name in sorted(cases)], compare_images=False)
    for assumption in patients.assumptions:
        logger.info(assumption)
    return patients


def shuffled_names(patients: Patients, seed: int, fractions: Sequence[float]) -> Names:
    """Shuffle patients and split them by the fractions, with at least one per fraction above 0 if possible.

    Returns:
        The names of the cases of each subset; those of a patient are in the same.
    """
    by_patient: dict[str, list[str]] = {}
    for name, patient in patients.by_case.items():
        by_patient.setdefault(patient, []).append(name)
    shuffled = random.Random(seed).sample([*by_patient], len(by_patient))
    wanted = dict(zip(SUBSETS, (*fractions, 0.0), strict=False))
    sizes = {subset: max(1, round(part * len(shuffled))) if part else 0 for subset, part in wanted.items()}
    validation = len(shuffled) - sizes["test"] - sizes["validation"]  # where the training cases end
    test = len(shuffled) - sizes["test"]
    cuts = (slice(0, max(0, validation)), slice(max(0, validation), test), slice(test, None))
    return {
        subset: sorted(name for patient in shuffled[cut] for name in by_patient[patient])
        for subset, cut in zip(SUBSETS, cuts, strict=True)
    }


def read_folds(path: PathLike) -> dict[str, Any]:
    """Read the folds of a cross-validation: of a split file, or of nnU-Net's `splits_final.json`.

    Returns:
        The content of a split file: the case names of each fold in `folds`, and those of the test cases in `test`.

    Raises:
        VolumeError: the file has no folds, a case is in two of them, or a fold of nnU-Net's file trains on other cases
            than those of the other folds.
    """
    lists = read_lists(Path(path))
    folds = [names for key, names in lists.items() if key not in SUBSETS]
    if not folds:
        raise VolumeError(path, "no folds", "must be a split file with folds, or nnU-Net's splits_final.json")
    return {"folds": folds, "test": lists["test"]}


def read_lists(path: Path) -> dict[str, list[str]]:
    """Read the case names of a split file, or of nnU-Net's `splits_final.json`: of each fold or subset.

    Returns:
        The names of `fold 0` and so on, or of `training` and `validation`; and of `test`.

    Raises:
        VolumeError: the file cannot be read, a case is in two lists, or a fold of nnU-Net's file trains on other cases
            than those of the other folds.
    """
    content = read_json(path)
    if isinstance(content, list):
        splits = [_nnunet_split(path, content, fold) for fold in range(len(content))]
        content = {"folds": [split["validation"] for split in splits], "test": []}
        every = {name for fold in content["folds"] for name in fold}
        for fold, split in enumerate(splits):
            if other := every - set(split["validation"]) ^ set(split["training"]):
                found = f"fold {fold}: {min(other)!r} is only in its train, or only in another fold"
                raise VolumeError(path, found, "a fold must train on the cases of all other folds")
    if not isinstance(content, dict):
        raise VolumeError(path, type(content).__name__, "must be an object with lists training, validation and test")
    lists = _lists_of_folds(path, content) if "folds" in content else {key: content.get(key, []) for key in SUBSETS}
    return _check_listed_once(path, lists)


def _read_names(path: Path, fold: int = 0) -> Names:
    """Read the names of each subset; if the file has folds, `fold` is the validation subset."""
    content = read_json(path)
    if isinstance(content, list):  # whose folds may train on fewer cases than those of the others
        _check_fold(path, fold, len(content))
        return _nnunet_split(path, content, fold)
    lists = read_lists(path)
    folds = [key for key in lists if key not in SUBSETS] or ["validation"]
    _check_fold(path, fold, len(folds))
    names: Names = {subset: [] for subset in SUBSETS}
    for key, listed in lists.items():
        names[key if key in SUBSETS else "validation" if key == folds[fold] else "training"] += listed
    return names


def _check_fold(path: Path, fold: int, folds: int) -> None:
    if not 0 <= fold < folds:
        raise VolumeError(path, f"fold {fold}", f"must be from 0 to {folds - 1}" if folds else "the file has no folds")


def _check_listed_once(path: Path, lists: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return lists of case names with composed accents, as cases have them, after checking that none is there twice."""
    owner: dict[str, str] = {}
    for key, listed in lists.items():
        if not (isinstance(listed, list) and all(isinstance(name, str) for name in listed)):
            raise VolumeError(path, key, "must be a list of case names")
        for name in map(composed, listed):
            if name in owner:
                raise VolumeError(path, f"{name!r} in {owner[name]} and {key}", "a case may be listed once")
            owner[name] = key
    return {key: [*map(composed, listed)] for key, listed in lists.items()}


def _nnunet_split(path: Path, content: list[Any], fold: int) -> Names:
    """Return the subsets of a fold of nnU-Net's `splits_final.json`: [{"train": [...], "val": [...]}, ...]."""
    entry = content[fold]
    if not isinstance(entry, dict) or not {"train", "val"} <= entry.keys():
        raise VolumeError(path, f"fold {fold}", 'must be {"train": [...], "val": [...]}, as in nnU-Net')
    names = {"training": entry["train"], "validation": entry["val"], "test": []}
    return _check_listed_once(path, names)


def _lists_of_folds(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Return the names of each fold, called `fold 0` and so on, and of the test subset."""
    folds = content["folds"]
    if not isinstance(folds, list) or len(folds) < 2:
        raise VolumeError(path, "folds", "must be a list of at least two lists of case names")
    if both := {"training", "validation"} & content.keys():
        raise VolumeError(path, f"folds and {min(both)}", "must have only one of them")
    return {f"fold {index}": names for index, names in enumerate(folds)} | {"test": content.get("test", [])}


def _is_first_process() -> bool:
    import torch.distributed  # late: checks of files import no torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank() == 0
    return int(os.environ.get("RANK", "0")) == 0  # torchrun's, before the processes have joined


def _check_fractions(fractions: Sequence[float]) -> None:
    if len(fractions) not in (2, 3) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions: {tuple(fractions)}: must be two or three fractions that add up to 1")
