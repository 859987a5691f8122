"""The folds of a cross-validation: those of the bundle, or new ones, written once and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from hybridseg.app.bundling.config import literal, read_config
from hybridseg.transforms.datasets.dataset import LabelledCase, read_dataset
from hybridseg.transforms.datasets.folds import make_folds
from hybridseg.transforms.datasets.grouping import find_patients, split_patients
from hybridseg.transforms.datasets.splits import read_lists
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.json_files import read_json, write_json
from hybridseg.transforms.io.masks import Rois

FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class Split:
    """The cases of a cross-validation.

    Args:
        folds: names of the cases of each fold.
        test: names of the cases that are in no fold: no training and no decision uses them.
        patients: patient of each case.
        settings: how it was made: `folds`, `patient` and `seed`, as in `make_split`.
        assumptions: what was assumed about patients, in sentences.
    """

    folds: Sequence[Sequence[str]]
    test: Sequence[str]
    patients: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    assumptions: Sequence[str] = ()

    @property
    def fold_of(self) -> dict[str, int]:
        """The fold of each case."""
        return {case: index for index, fold in enumerate(self.folds) for case in fold}


def read_split(path: Path) -> Split:
    """Read the split that `write_split` wrote.

    Raises:
        VolumeError: it cannot be read, or is not a valid split.
    """
    record = read_json(path)
    names = [item.name for item in fields(Split)]
    if not isinstance(record, Mapping) or not record.keys() >= set(names):
        raise VolumeError(path, "not the split of a cross-validation", "must be written by hybridseg crossval")
    check_patients(path, record["patients"], read_lists(path))
    settings, assumptions = record["settings"], record["assumptions"]
    if not isinstance(settings, Mapping) or settings.keys() != {"folds", "patient", "seed"}:
        raise VolumeError(path, "settings", "must have folds, patient and seed")
    if not isinstance(assumptions, list) or not all(isinstance(line, str) for line in assumptions):
        raise VolumeError(path, "assumptions", "must be a list of sentences")
    return Split(**{name: record[name] for name in names})


def check_patients(path: Path, patients: Any, lists: Mapping[str, Sequence[str]]) -> None:
    """Check that each case of a split has a patient, and that no patient is in two of its lists.

    Args:
        path: file of the split.
        patients: patient of each case, as read.
        lists: names of the cases of each fold, and of the test cases.

    Raises:
        VolumeError: a case has no patient, or a patient is in two lists.
    """
    if not isinstance(patients, Mapping) or not all(isinstance(patient, str) for patient in patients.values()):
        raise VolumeError(path, "patients", "must have the patient of each case")
    if other := patients.keys() ^ {name for names in lists.values() for name in names}:
        raise VolumeError(path, repr(min(other)), "must be in a fold or in test, and have a patient")
    owner: dict[str, str] = {}
    for key, names in lists.items():
        for patient in (patients[name] for name in names):
            if owner.setdefault(patient, key) != key:
                found = f"patient {patient!r} in {owner[patient]} and {key}"
                raise VolumeError(path, found, "all cases of a patient must be in one fold, or in test")


def write_split(path: Path, split: Split) -> None:
    """Write a split; `split_cases` reads the same file."""
    write_json(path, asdict(split))


def make_split(
    dataset: Path,
    split_file: Path | None,
    *,
    folds: int | None = None,
    patient: str | None = None,
    seed: int = 0,
    channels: Sequence[str] = (),
) -> Split:
    """Take the folds of a bundle, or make new ones that keep the cases of a patient together.

    Args:
        dataset: folder of the dataset.
        split_file: the bundle's; its test cases stay out of the folds. Ignored if it is of another dataset.
        folds: number of new folds; None takes the folds of the file, or makes 5.
        patient: regular expression that finds the patient in the name of a case.
        seed: seed of new folds.
        channels: as for `read_dataset`.

    Raises:
        VolumeError: the dataset cannot be used, or the file has cases of one patient in several folds.
        ValueError: there are fewer patients than folds, or the expression cannot be used.
    """
    cases = {case["case"]: case for case in read_dataset(dataset, channels=channels)}
    listed = listed_names(split_file, cases)
    test = listed.pop("test", [])
    known = [name for names in listed.values() for name in names] or [name for name in cases if name not in test]
    given = [names for subset, names in listed.items() if subset not in ("training", "validation")]
    count = folds or len(given) or FOLDS
    patients = find_patients([cases[name] for name in (*known, *test)], patient)
    own = given if folds is None else []
    divided = own or make_folds(known, folds=count, seed=seed, patient=patients)
    if split := split_patients([*divided, test], patients):
        found = f"{len(split)} patients, such as {split[0]}, have cases in several folds, or in folds and test"
        rule = "use --folds to make folds that keep patients together, or --patient to say what a patient is"
        raise VolumeError(split_file or dataset, found, rule)
    return Split(
        folds=divided,
        test=test,
        patients=patients.by_case,
        settings={"folds": folds, "patient": patient, "seed": seed},
        assumptions=patients.assumptions,
    )


def read_cases(
    dataset: Path, split: Split, *, rois: Rois | None = None, channels: Sequence[str] = ()
) -> dict[str, LabelledCase]:
    """Return the cases of a split by name.

    Args:
        dataset: folder of the dataset.
        split: folds and patients.
        rois: as for `read_dataset`.
        channels: as for `read_dataset`.

    Raises:
        VolumeError: the dataset lacks one of them.
    """
    cases = {case["case"]: case for case in read_dataset(dataset, rois=rois, channels=channels)}
    if missing := [name for name in split.patients if name not in cases]:
        raise VolumeError(dataset, f"no case {missing[0]}", "must have all cases of the split")
    return cases


def bundle_split_file(bundle: Path) -> Path | None:
    """Return the split file that a bundle's `train.json` names; None if it names none.

    Raises:
        VolumeError: the config cannot be read.
    """
    from monai.bundle import ConfigParser

    config = ConfigParser(read_config(bundle / "configs" / "train.json"))
    config["bundle_root"] = literal(bundle)
    path = config.get_parsed_content("split_file") if "split_file" in config else None
    return None if path is None else Path(path)


def listed_names(split_file: Path | None, cases: Mapping[str, LabelledCase]) -> dict[str, list[str]]:
    """Return the cases of a dataset that a split file lists, by fold or subset; empty if there are none.

    Raises:
        VolumeError: the file cannot be read.
    """
    subsets = {} if split_file is None else read_lists(split_file)
    present = {subset: [name for name in names if name in cases] for subset, names in subsets.items()}
    return present if any(present.values()) else {}
