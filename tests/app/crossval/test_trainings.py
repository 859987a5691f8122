"""Each fold is trained by `hybridseg train` on a device of its own, and resumed if it has begun."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hybridseg.app.crossval.trainings import Training, choose_devices, train_folds
from hybridseg.transforms.errors import VolumeError


@pytest.fixture
def training(tmp_path: Path) -> Training:
    return Training(
        bundle="phantom_ct_segmentation",
        dataset=tmp_path / "nothing",
        fold=1,
        folder=tmp_path / "fold_1",
        split=tmp_path / "split.json",
        epochs=3,
        options=["--epochs", "3"],
    )


def touch(training: Training, *names: str) -> None:
    training.folder.mkdir(exist_ok=True)
    for name in names:
        (training.folder / name).touch()


def test_command_trains_the_fold_and_resumes_it(training: Training) -> None:
    words = training.command("cuda:1")
    assert words[:6] == [
        sys.executable,
        "-m",
        "hybridseg.app",
        "train",
        "phantom_ct_segmentation",
        str(training.dataset),
    ]
    assert words[6:12] == ["--run-dir", str(training.folder), "--fold", "1", "--device", "cuda:1"]
    assert words[12:] == ["--set", f"split_file={training.split}", "--epochs", "3"]
    touch(training, "checkpoint_epoch=2.pt")
    assert training.command("cpu")[-1] == "--resume"


def test_store_is_shared_by_all_trainings(training: Training, tmp_path: Path) -> None:
    words = replace(training, store=tmp_path / "prepared").command("cpu")
    assert words[words.index(f"store={tmp_path / 'prepared'}") - 1] == "--set"


def test_training_is_done_at_its_last_epoch_or_when_it_has_ended(training: Training) -> None:
    touch(training, "model.pt", "checkpoint_epoch=2.pt")
    assert not training.is_done
    training.mark()
    assert training.is_done
    (training.folder / "trained.json").unlink()
    touch(training, "checkpoint_epoch=3.pt")
    assert training.is_done
    (training.folder / "model.pt").unlink()
    assert not training.is_done


def test_training_that_has_begun_keeps_its_options(training: Training) -> None:
    other = replace(training, options=["--epochs", "9"])
    train_folds([training], ["cpu"], lambda failed, reason: None)
    other.check_options()  # no epoch was trained
    touch(training, "checkpoint_epoch=1.pt")
    training.check_options()
    with pytest.raises(VolumeError, match=r"started\.json: trained with --epochs 3: must be trained with --epochs 9"):
        other.check_options()


def test_devices_are_one_for_each_training_at_once() -> None:
    assert choose_devices("cuda:1", None) == ["cuda:1"]
    assert choose_devices("cpu", 3) == ["cpu", "cpu", "cpu"]


def test_failed_training_is_reported_with_its_reason(training: Training) -> None:
    reasons: list[tuple[int, str]] = []
    train_folds([training], ["cpu", "cpu"], lambda failed, reason: reasons.append((failed.fold, reason)))
    rule = "must be a folder in Medical Segmentation Decathlon or nnU-Net layout, or with images and labels"
    ((fold, reason),) = reasons
    assert fold == 1
    assert reason.startswith("hybridseg train: ")
    assert "split.json" in reason or rule in reason
    assert not training.is_done


def test_training_that_has_begun_keeps_the_configs_of_its_bundle(training: Training) -> None:
    before, changed = replace(training, configs="1"), replace(training, configs="2")
    touch(before, "model.pt")
    before.mark()
    before.check_options()
    with pytest.raises(VolumeError, match=r"trained\.json: trained with other configs of the bundle: must be trained"):
        changed.check_options()


def test_training_that_has_begun_keeps_its_folds(training: Training) -> None:
    before, changed = replace(training, folds="1"), replace(training, folds="2")
    touch(before, "model.pt")
    before.mark()
    before.check_options()
    rule = f"must be trained with the folds of {training.split}; or use another folder"
    with pytest.raises(VolumeError, match=rf"trained\.json: trained with other folds: {rule}"):
        changed.check_options()


@pytest.mark.parametrize("content", ["[]", "{}", '{"options": [1]}'])
def test_record_of_another_program_is_an_error(content: str, training: Training) -> None:
    touch(training, "checkpoint_epoch=1.pt")
    (training.folder / "started.json").write_text(content)
    with pytest.raises(VolumeError, match=r"started\.json: no options of a training: must be written by hybridseg"):
        training.check_options()


def test_cases_that_changed_since_are_found(training: Training) -> None:
    touch(training)
    assert training.changed_data({"a": "1"}) == []
    cases = {"training": {"a": "1", "b": "2"}, "validation": {"c": "3"}}
    (training.folder / "run.json").write_text(json.dumps({"runs": [], "case_sha256": cases}))
    assert training.changed_data({"a": "1", "b": "2", "c": "3", "test": "4"}) == []
    assert training.changed_data({"a": "1", "b": "9", "c": "9"}) == ["changed b, c"]
