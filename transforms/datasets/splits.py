"""Which cases train, which choose the model and which are left for the figure that is reported."""

from __future__ import annotations

import json
import logging
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch.distributed

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.io.atomic import replacing

from .dataset import LabelledCase, read_dataset, read_json

SUBSETS = ("training", "validation", "test")

Names = dict[str, list[str]]
"""LabelledCase names of each subset."""

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
) -> dict[str, list[LabelledCase]]:
    """Divide the cases of a dataset by a written-down list or, where the list is of another dataset, by a seed.

    A folder that holds any of the listed cases is divided by the list: listed cases that are missing are counted in a
    warning, and cases that are not listed are not used, so that a test case never trains. A folder that holds none of
    them is shuffled by the seed. The division is saved as `<run_dir>/split.json`, from where a repeated or resumed
    run takes it even if cases were added since. A run that has checkpoints keeps its division: cases that trained never
    choose the model. Under torchrun only rank 0 writes; all ranks divide alike.

    Args:
        dataset_dir: folder in the layout of the Medical Segmentation Decathlon.
        split_file: JSON of the case names of each subset: `{"training": [...], "validation": [...], "test": [...]}`,
            or of the folds of a cross-validation: `{"folds": [[...], [...], ...], "test": [...]}`.
        run_dir: folder of the run, created when needed; None saves nothing.
        seed: of the shuffle.
        fractions: shares of training, validation and, when there are three, test; their sum is 1.
        required: the subsets that may not be empty.
        fold: the fold of the split file that is for validation, from 0; the others train.

    Returns:
        For each of training, validation and test the list of its cases {"case", "image", "label"}.

    Raises:
        VolumeError: the dataset or the split file cannot be used, a required subset is empty, or cases that trained
            in the run of `run_dir` would validate or test now, as with another fold or seed.
        ValueError: fractions are not two or three shares that add up to 1, an unknown subset is required, or the split
            file has no such fold.
    """
    _check_fractions(fractions)
    if unknown := set(required) - set(SUBSETS):
        raise ValueError(f"required: {sorted(unknown)}: must be among {', '.join(SUBSETS)}")
    if split_file is None and fold != 0:
        raise ValueError(f"fold: {fold}: must be 0 where no split file has folds")
    cases = {case["case"]: case for case in read_dataset(dataset_dir)}
    names = _listed_names(cases, split_file, fold) if split_file is not None else None
    record: dict[str, Any] = dict(names or {})
    if names is None:
        draw = {"seed": seed, "fractions": list(fractions)}
        names = _saved_names(cases, run_dir, draw) or _shuffled_names(sorted(cases), seed, fractions)
        record = draw | names
    for subset in required:
        if not names[subset]:
            raise VolumeError(dataset_dir, f"{len(cases)} cases, none for {subset}", "at least one is needed")
    if run_dir is not None:
        _refuse_trained(Path(run_dir), names)
    if run_dir is not None and _is_first_process():
        with replacing(Path(run_dir) / "split.json") as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return {subset: [cases[name] for name in names[subset]] for subset in SUBSETS}


def _listed_names(cases: dict[str, LabelledCase], split_file: PathLike, fold: int) -> Names | None:
    """The listed names that are in the dataset; None when none is."""
    listed = _read_names(Path(split_file), fold)
    names = {subset: [name for name in listed[subset] if name in cases] for subset in SUBSETS}
    present, wanted = sum(map(len, names.values())), sum(map(len, listed.values()))
    if not present and fold != 0:
        raise VolumeError(split_file, f"none of {wanted} cases is in the dataset", "folds must be of this dataset")
    if not present:
        logger.warning("none of the %d cases listed in %s is in the dataset: dividing it by seed", wanted, split_file)
        return None
    for subset in ("training", "validation"):
        if missing := len(listed[subset]) - len(names[subset]):
            logger.warning("%d of %d %s cases of %s are missing", missing, len(listed[subset]), subset, split_file)
    if unused := len(cases) - present:
        logger.info("%d cases of the dataset are not listed in %s and not used", unused, split_file)
    return names


def _saved_names(cases: dict[str, LabelledCase], run_dir: PathLike | None, draw: dict[str, Any]) -> Names | None:
    """The names an earlier run with this seed and these fractions saved, if all of them are still in the dataset."""
    saved = None if run_dir is None else Path(run_dir) / "split.json"
    if saved is None or not saved.exists():
        return None
    names = _read_names(saved)
    same_draw = draw.items() <= read_json(saved).items()
    if same_draw and all(name in cases for listed in names.values() for name in listed):
        return names
    logger.warning("%s is of another dataset, seed or fractions: replaced", saved)
    return None


def _refuse_trained(run_dir: Path, names: Names) -> None:
    """Refuse to go on with a run whose training cases would validate or test."""
    saved = run_dir / "split.json"
    if not saved.exists() or not any(run_dir.glob("checkpoint_epoch=*.pt")):
        return
    trained = set(_read_names(saved)["training"])
    if mixed := sorted(trained & {*names["validation"], *names["test"]}):
        found = f"{len(mixed)} cases that trained, such as {mixed[0]!r}, would judge the network now"
        raise VolumeError(saved, found, "a run must go on with its own division: the same fold and seed")


def _shuffled_names(names: list[str], seed: int, fractions: Sequence[float]) -> Names:
    """Cut the shuffled names by the fractions; a subset with a share gets at least one case while there are enough."""
    shuffled = random.Random(seed).sample(names, len(names))
    shares = dict(zip(SUBSETS, (*fractions, 0.0), strict=False))
    sizes = {subset: max(1, round(share * len(names))) if share else 0 for subset, share in shares.items()}
    validation = len(names) - sizes["test"] - sizes["validation"]  # where the training cases end
    test = len(names) - sizes["test"]
    cuts = (slice(0, max(0, validation)), slice(max(0, validation), test), slice(test, None))
    return {subset: sorted(shuffled[cut]) for subset, cut in zip(SUBSETS, cuts, strict=True)}


def _read_names(path: Path, fold: int = 0) -> Names:
    """The names of each subset, validation being a fold where the file has folds."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise VolumeError(path, type(content).__name__, "must be an object with lists training, validation and test")
    lists = _lists_of_folds(path, content) if "folds" in content else {key: content.get(key, []) for key in SUBSETS}
    folds = [key for key in lists if key not in SUBSETS] or ["validation"]
    if not 0 <= fold < len(folds):
        raise VolumeError(path, f"fold {fold}", f"must be from 0 to {len(folds) - 1}")
    names: Names = {subset: [] for subset in SUBSETS}
    owner: dict[str, str] = {}
    for key, listed in lists.items():
        if not (isinstance(listed, list) and all(isinstance(name, str) for name in listed)):
            raise VolumeError(path, key, "must be a list of case names")
        for name in listed:
            if name in owner:
                raise VolumeError(path, f"{name!r} in {owner[name]} and {key}", "a case may be listed once")
            owner[name] = key
        subset = key if key in SUBSETS else "validation" if key == folds[fold] else "training"
        names[subset] += listed
    return names


def _lists_of_folds(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """A list of names for each fold, called `fold 0` and so on, and that of the test."""
    folds = content["folds"]
    if not isinstance(folds, list) or len(folds) < 2:
        raise VolumeError(path, "folds", "must be a list of at least two lists of case names")
    if twice := {"training", "validation"} & content.keys():
        raise VolumeError(path, f"folds and {min(twice)}", "must have either")
    return {f"fold {index}": names for index, names in enumerate(folds)} | {"test": content.get("test", [])}


def _is_first_process() -> bool:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank() == 0
    return int(os.environ.get("RANK", "0")) == 0  # torchrun's, before the processes have joined


def _check_fractions(fractions: Sequence[float]) -> None:
    if len(fractions) not in (2, 3) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions: {tuple(fractions)}: must be two or three shares that add up to 1")
