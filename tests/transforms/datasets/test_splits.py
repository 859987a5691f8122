"""Training, validation and test cases."""

import json
import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridseg.transforms import VolumeError, split_cases
from hybridseg.transforms.datasets.dataset import LabelledCase
from hybridseg.transforms.datasets.grouping import Patients
from hybridseg.transforms.datasets.splits import read_folds, shuffled_names

from ..io.dicom.dicom_files import write_series

LISTED = {"training": ["a", "b", "c"], "validation": ["d"], "test": ["e"]}


@pytest.fixture
def split_file(tmp_path: Path) -> Path:
    path = tmp_path / "listed.json"
    path.write_text(json.dumps(LISTED))
    return path


def make_dataset(folder: Path, names: Iterable[str]) -> Path:
    """Make a dataset with a case for each name, such as for each letter of a text."""
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / part / f"{name}.nii.gz").touch()
    return folder


def names(split: dict[str, list[LabelledCase]]) -> dict[str, list[str]]:
    return {subset: [case["case"] for case in cases] for subset, cases in split.items()}


def test_only_listed_cases_are_used(tmp_path: Path, split_file: Path) -> None:
    assert names(split_cases(make_dataset(tmp_path / "set", "fedcba"), split_file)) == LISTED


def test_accents_of_listed_cases_may_be_written_in_either_form(tmp_path: Path) -> None:
    composed, decomposed = "M\u00fcller", "Mu\u0308ller"
    listed = tmp_path / "listed.json"
    listed.write_text(json.dumps({"training": [composed], "validation": ["d"], "test": []}))
    dataset = make_dataset(tmp_path / "set", [decomposed, "d"])
    (dataset / "labelsTr" / f"{decomposed}.nii.gz").rename(dataset / "labelsTr" / f"{composed}.nii.gz")
    assert names(split_cases(dataset, listed))["training"] == [composed]


def test_missing_listed_cases_are_counted(tmp_path: Path, split_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    split = split_cases(make_dataset(tmp_path / "set", "adf"), split_file)
    assert names(split) == {"training": ["a"], "validation": ["d"], "test": []}
    assert "2 of 3 training cases" in caplog.text


@pytest.mark.parametrize(("cases", "subset"), [("abc", "validation"), ("de", "training"), ("e", "training")])
def test_test_cases_never_fill_an_empty_subset(tmp_path: Path, split_file: Path, cases: str, subset: str) -> None:
    with pytest.raises(VolumeError, match=f"cases, none for {subset}: at least one is needed"):
        split_cases(make_dataset(tmp_path / "set", cases), split_file)


def test_only_required_subsets_must_have_cases(tmp_path: Path, split_file: Path) -> None:
    split = split_cases(make_dataset(tmp_path / "set", "e"), split_file, required=("test",))
    assert names(split) == {"training": [], "validation": [], "test": ["e"]}


def test_dataset_without_listed_cases_is_split_by_seed(
    tmp_path: Path, split_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = make_dataset(tmp_path / "set", "klmnopqr")
    split = names(split_cases(dataset, split_file))
    assert "none of the 5 cases listed" in caplog.text
    assert sorted(split["training"] + split["validation"]) == list("klmnopqr")
    assert (len(split["training"]), len(split["validation"]), split["test"]) == (6, 2, [])
    assert split == names(split_cases(dataset))
    assert split != names(split_cases(dataset, seed=1))


def test_repeated_run_keeps_its_split_when_cases_are_added(tmp_path: Path) -> None:
    first = names(split_cases(make_dataset(tmp_path / "set", "klmnopqr"), run_dir=tmp_path / "run"))
    make_dataset(tmp_path / "set", "xyz")
    assert names(split_cases(tmp_path / "set", run_dir=tmp_path / "run")) == first
    assert names(split_cases(tmp_path / "set")) != first


@pytest.mark.parametrize("changed", [{"seed": 1}, {"fractions": (0.5, 0.5)}, {"dataset": "other"}])
def test_new_seed_fractions_or_dataset_replace_the_split(
    tmp_path: Path, changed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    make_dataset(tmp_path / "set", "klmnopqr")
    make_dataset(tmp_path / "other", "stuvwxyz")
    split_cases(tmp_path / "set", run_dir=tmp_path / "run")
    dataset = tmp_path / changed.pop("dataset", "set")
    assert names(split_cases(dataset, run_dir=tmp_path / "run", **changed)) == names(split_cases(dataset, **changed))
    assert "replaced" in caplog.text


def test_saved_split_can_be_given_as_split_file(tmp_path: Path, split_file: Path) -> None:
    dataset = make_dataset(tmp_path / "set", "abcdef")
    for given_file, run in ((split_file, "listed"), (None, "drawn")):
        split = split_cases(dataset, given_file, tmp_path / run)
        assert split_cases(dataset, tmp_path / run / "split.json") == split
        assert [path.name for path in (tmp_path / run).iterdir()] == ["split.json"]


@pytest.fixture
def fold_file(tmp_path: Path) -> Path:
    path = tmp_path / "folds.json"
    path.write_text(json.dumps({"folds": [["a", "b"], ["c"], ["d"]], "test": ["e"]}))
    return path


@pytest.mark.parametrize(("fold", "training", "validation"), [(0, "cd", "ab"), (1, "abd", "c"), (2, "abc", "d")])
def test_one_fold_is_validation_and_the_others_training(
    tmp_path: Path, fold_file: Path, fold: int, training: str, validation: str
) -> None:
    dataset = make_dataset(tmp_path / "set", "abcdef")
    split = split_cases(dataset, fold_file, tmp_path / "run", fold=fold)
    assert names(split) == {"training": list(training), "validation": list(validation), "test": ["e"]}
    assert split_cases(dataset, tmp_path / "run" / "split.json") == split


def test_nnunet_splits_are_read(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "set", "abcd")
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps([{"train": ["a", "b"], "val": ["c"]}, {"train": ["c"], "val": ["a", "b"]}]))
    split = split_cases(dataset, path, fold=1)
    assert names(split) == {"training": ["c"], "validation": ["a", "b"], "test": []}
    assert read_folds(path) == {"folds": [["c"], ["a", "b"]], "test": []}


def test_folds_are_read_with_their_test_cases(fold_file: Path, split_file: Path) -> None:
    assert read_folds(fold_file) == {"folds": [["a", "b"], ["c"], ["d"]], "test": ["e"]}
    with pytest.raises(VolumeError, match=r"no folds: must be a split file with folds, or nnU-Net's splits_final.json"):
        read_folds(split_file)


def test_nnunet_folds_must_train_on_the_other_folds(tmp_path: Path) -> None:
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps([{"train": ["a", "b"], "val": ["c"]}, {"train": ["c"], "val": ["a"]}]))
    with pytest.raises(VolumeError, match=r"fold 0: 'b' is only in its train, or only in another fold"):
        read_folds(path)


def test_folds_of_another_dataset_are_an_error_unless_0(
    tmp_path: Path, fold_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = make_dataset(tmp_path / "set", "klmnopqr")
    assert split_cases(dataset, fold_file) == split_cases(dataset)
    assert "none of the 5 cases listed" in caplog.text
    with pytest.raises(VolumeError, match=r"folds.json: none of 5 cases is in the dataset: folds must be of this"):
        split_cases(dataset, fold_file, fold=1)


def test_run_cannot_resume_with_another_fold(tmp_path: Path, fold_file: Path) -> None:
    dataset, run_dir = make_dataset(tmp_path / "set", "abcde"), tmp_path / "run"
    split_cases(dataset, fold_file, run_dir, fold=0)
    first = split_cases(dataset, fold_file, run_dir, fold=1)
    (run_dir / "checkpoint_epoch=1.pt").touch()
    for _ in range(2):
        with pytest.raises(VolumeError, match=r"split.json: 2 training cases, such as 'a', would move to"):
            split_cases(dataset, fold_file, run_dir, fold=0)
    assert split_cases(dataset, fold_file, run_dir, fold=1) == first


def test_unknown_fold_is_an_error(tmp_path: Path, fold_file: Path, split_file: Path) -> None:
    dataset = make_dataset(tmp_path / "set", "abcde")
    for fold in (3, -1):
        with pytest.raises(ValueError, match=rf"folds.json: fold {fold}: must be from 0 to 2"):
            split_cases(dataset, fold_file, fold=fold)
    with pytest.raises(ValueError, match=r"listed.json: fold 1: must be from 0 to 0"):
        split_cases(dataset, split_file, fold=1)
    with pytest.raises(ValueError, match=r"fold: 1: must be 0 unless a split file has folds"):
        split_cases(dataset, fold=1)


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset(tmp_path / "set", "klmnopqr")
    monkeypatch.setenv("RANK", "1")
    split = split_cases(dataset, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("RANK", "0")
    assert split_cases(dataset, run_dir=tmp_path / "run") == split
    assert (tmp_path / "run" / "split.json").exists()


@settings(deadline=None, max_examples=50)
@given(
    count=st.integers(3, 60),
    seed=st.integers(0, 99),
    fractions=st.sampled_from([(0.75, 0.25), (0.6, 0.2, 0.2), (0.98, 0.01, 0.01), (0, 0, 1)]),
)
def test_every_case_is_in_one_subset_and_none_is_empty(count: int, seed: int, fractions: tuple[float, ...]) -> None:
    cases = [f"{index:03}" for index in range(count)]
    split = shuffled_names(Patients({name: name for name in cases}), seed, fractions)
    assert sorted(split["training"] + split["validation"] + split["test"]) == cases
    for subset, fraction in zip(split, fractions, strict=False):
        assert bool(split[subset]) == bool(fraction)
        assert abs(len(split[subset]) - fraction * count) <= 2


@pytest.mark.parametrize("seed", range(5))
def test_cases_of_a_patient_stay_together(tmp_path: Path, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    cases = [f"patient{patient:03d}_frame{frame:02d}" for patient in range(8) for frame in (1, 2)]
    split = names(split_cases(make_dataset(tmp_path, cases), seed=seed, fractions=(0.5, 0.25, 0.25)))
    patients = [{name[:10] for name in listed} for listed in split.values()]
    assert list(map(len, patients)) == [4, 2, 2]
    assert len(set.union(*patients)) == 8
    assert caplog.messages == ["16 cases of 8 patients, by their names: patient000_frame01 is of patient000"]


def test_cases_with_one_patient_id_stay_together(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Though their names do not tell it."""
    caplog.set_level(logging.INFO)
    ids = {"iron": "1", "lead": "2", "gold": "1", "zinc": "3"}
    for name, patient in ids.items():
        write_series(tmp_path / name, tags={"0010|0020": patient})
        (tmp_path / f"{name}.nii.gz").touch()
    listed = [{"image": name, "label": f"{name}.nii.gz"} for name in ids]
    (tmp_path / "dataset.json").write_text(json.dumps({"training": listed}))
    for seed in range(5):
        split = names(split_cases(tmp_path, seed=seed, fractions=(0.5, 0.5)))
        assert not {ids[name] for name in split["training"]} & {ids[name] for name in split["validation"]}
    assert caplog.messages == 5 * ["gold and iron have the same PatientID and count as one patient"]


@pytest.mark.parametrize("fractions", [(1.0,), (0.5, 0.6), (1.5, -0.5), (0.25, 0.25, 0.25, 0.25)])
def test_fractions_must_add_up_to_1(tmp_path: Path, fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"fractions: .*: must be two or three fractions that add up to 1"):
        split_cases(tmp_path, fractions=fractions)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('"a"', "str: must be an object with lists"),
        ("[]", "fold 0: the file has no folds"),
        ('[{"train": ["a"]}]', "fold 0: must be {.train.: .*, .val.: .*}, as in nnU-Net"),
        ('[{"train": ["a"], "val": ["a"]}]', "'a' in training and validation: a case may be listed once"),
        ('{"training": "a"}', "training: must be a list of case names"),
        ('{"training": [1]}', "training: must be a list of case names"),
        ('{"training": ["a"], "test": ["a"]}', "'a' in training and test: a case may be listed once"),
        ("no", "must be a JSON file"),
        ('{"folds": [["a"]]}', "folds: must be a list of at least two lists of case names"),
        ('{"folds": {}}', "folds: must be a list of at least two"),
        ('{"folds": [["a"], "b"]}', "fold 1: must be a list of case names"),
        ('{"folds": [["a"], ["b"]], "test": "c"}', "test: must be a list of case names"),
        ('{"folds": [["a"], ["a"]]}', "'a' in fold 0 and fold 1: a case may be listed once"),
        ('{"folds": [["a"], ["b"]], "test": ["b"]}', "'b' in fold 1 and test: a case may be listed once"),
        ('{"folds": [["a"], ["b"]], "training": ["c"]}', "folds and training: must have only one of them"),
    ],
)
def test_invalid_split_files_are_errors(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "listed.json"
    path.write_text(content)
    with pytest.raises(VolumeError, match=message):
        split_cases(make_dataset(tmp_path / "set", "abc"), path)


def test_missing_split_file_and_unknown_subset_are_errors(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "set", "abc")
    with pytest.raises(VolumeError, match="No such file or directory: must be a readable JSON file"):
        split_cases(dataset, tmp_path / "missing.json")
    with pytest.raises(ValueError, match=r"required: \['train'\]: must be among training, validation, test"):
        split_cases(dataset, required=("train",))


def test_hippocampus_is_split_three_to_one(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        split = split_cases(data_dir / "Task04_Hippocampus")
    assert [len(split[subset]) for subset in ("training", "validation", "test")] == [150, 50, 0]
    assert not caplog.text


@pytest.mark.parametrize(
    ("edited", "message"),
    [
        ({"training": ["a", "b"], "validation": ["b"]}, "'b' in training and validation: a case may be listed once"),
        ({"training": ["a", "a"], "validation": ["b"]}, "'a' in training and training: a case may be listed once"),
        ({"training": ["z"], "validation": ["a", "b", "c"]}, None),
        ({"training": "abc", "validation": []}, "training: must be a list of case names"),
        ({"training": [["a"]], "validation": ["b"]}, "training: must be a list of case names"),
        ([{"train": ["a", "b"], "val": ["c"]}], None),
        (5, "int: must be an object with lists training, validation and test"),
    ],
)
def test_edited_split_of_a_run_is_an_error_or_drawn_anew(edited: Any, message: str | None, tmp_path: Path) -> None:
    dataset, run_dir = make_dataset(tmp_path / "set", "abcd"), tmp_path / "run"
    drawn = names(split_cases(dataset, run_dir=run_dir))
    (run_dir / "split.json").write_text(json.dumps(edited))
    if message is None:
        assert names(split_cases(dataset, run_dir=run_dir)) == drawn
    else:
        with pytest.raises(VolumeError, match=f"^{re.escape(f'{run_dir}/split.json: {message}')}$"):
            split_cases(dataset, run_dir=run_dir)
