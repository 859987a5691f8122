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

from .atomic import replacing
from .datasets import Case, read_dataset, read_json
from .errors import VolumeError

SUBSETS = ("training", "validation", "test")

Names = dict[str, list[str]]
"""Case names of each subset."""

logger = logging.getLogger(__name__)


def split_cases(
    dataset_dir: str | os.PathLike[str],
    split_file: str | os.PathLike[str] | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    *,
    seed: int = 0,
    fractions: Sequence[float] = (0.75, 0.25),
    required: Sequence[str] = ("training", "validation"),
) -> dict[str, list[Case]]:
    """Divide the cases of a dataset by a written-down list or, where the list is of another dataset, by a seed.

    A folder that holds any of the listed cases is divided by the list: listed cases that are missing are counted in a
    warning, and cases that are not listed are not used, so that a test case never trains. A folder that holds none of
    them is shuffled by the seed. The division is saved as `<run_dir>/split.json`, from where a repeated or resumed
    run takes it even if cases were added since. Under torchrun only rank 0 writes; all ranks divide alike.

    Args:
        dataset_dir: folder in the layout of the Medical Segmentation Decathlon.
        split_file: JSON of the case names of each subset: `{"training": [...], "validation": [...], "test": [...]}`.
        run_dir: folder of the run, created when needed; None saves nothing.
        seed: of the shuffle.
        fractions: shares of training, validation and, when there are three, test; their sum is 1.
        required: the subsets that may not be empty.

    Returns:
        For each of training, validation and test the list of its cases {"case", "image", "label"}.

    Raises:
        VolumeError: the dataset or the split file cannot be used, or a required subset is empty.
        ValueError: fractions are not two or three shares that add up to 1, or an unknown subset is required.
    """
    _check_fractions(fractions)
    if unknown := set(required) - set(SUBSETS):
        raise ValueError(f"required: {sorted(unknown)}: must be among {', '.join(SUBSETS)}")
    cases = {case["case"]: case for case in read_dataset(dataset_dir)}
    names = _listed_names(cases, split_file) if split_file is not None else None
    record: dict[str, Any] = dict(names or {})
    if names is None:
        draw = {"seed": seed, "fractions": list(fractions)}
        names = _saved_names(cases, run_dir, draw) or _shuffled_names(sorted(cases), seed, fractions)
        record = draw | names
    for subset in required:
        if not names[subset]:
            raise VolumeError(dataset_dir, f"{len(cases)} cases, none for {subset}", "at least one is needed")
    if run_dir is not None and _is_first_process():
        with replacing(Path(run_dir) / "split.json") as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return {subset: [cases[name] for name in names[subset]] for subset in SUBSETS}


def _listed_names(cases: dict[str, Case], split_file: str | os.PathLike[str]) -> Names | None:
    """The listed names that are in the dataset; None when none is."""
    listed = _read_names(Path(split_file))
    names = {subset: [name for name in listed[subset] if name in cases] for subset in SUBSETS}
    present, wanted = sum(map(len, names.values())), sum(map(len, listed.values()))
    if not present:
        logger.warning("none of the %d cases listed in %s is in the dataset: dividing it by seed", wanted, split_file)
        return None
    for subset in ("training", "validation"):
        if missing := len(listed[subset]) - len(names[subset]):
            logger.warning("%d of %d %s cases of %s are missing", missing, len(listed[subset]), subset, split_file)
    if unused := len(cases) - present:
        logger.info("%d cases of the dataset are not listed in %s and not used", unused, split_file)
    return names


def _saved_names(cases: dict[str, Case], run_dir: str | os.PathLike[str] | None, draw: dict[str, Any]) -> Names | None:
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


def _shuffled_names(names: list[str], seed: int, fractions: Sequence[float]) -> Names:
    """Cut the shuffled names by the fractions; a subset with a share gets at least one case while there are enough."""
    shuffled = random.Random(seed).sample(names, len(names))
    shares = dict(zip(SUBSETS, (*fractions, 0.0), strict=False))
    sizes = {subset: max(1, round(share * len(names))) if share else 0 for subset, share in shares.items()}
    validation = len(names) - sizes["test"] - sizes["validation"]  # where the training cases end
    test = len(names) - sizes["test"]
    cuts = (slice(0, max(0, validation)), slice(max(0, validation), test), slice(test, None))
    return {subset: sorted(shuffled[cut]) for subset, cut in zip(SUBSETS, cuts, strict=True)}


def _read_names(path: Path) -> Names:
    content = read_json(path)
    if not isinstance(content, dict):
        raise VolumeError(path, type(content).__name__, "must be an object with lists training, validation and test")
    names: Names = {}
    owner: dict[str, str] = {}
    for subset in SUBSETS:
        names[subset] = content.get(subset, [])
        if not (isinstance(names[subset], list) and all(isinstance(name, str) for name in names[subset])):
            raise VolumeError(path, subset, "must be a list of case names")
        for name in names[subset]:
            if name in owner:
                raise VolumeError(path, f"{name!r} in {owner[name]} and {subset}", "a case may be listed once")
            owner[name] = subset
    return names


def _is_first_process() -> bool:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank() == 0
    return int(os.environ.get("RANK", "0")) == 0  # torchrun's, before the processes have joined


def _check_fractions(fractions: Sequence[float]) -> None:
    if len(fractions) not in (2, 3) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions: {tuple(fractions)}: must be two or three shares that add up to 1")
