"""A resumed training names what changed since its earlier start, and keeps its labels."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.transforms import Compose
from numpy.typing import NDArray

from hybridseg.app.training.best_model import BestModel
from hybridseg.app.training.prepared import PreparedDataset
from hybridseg.app.training.run.changes import changes, read_labels
from hybridseg.app.training.run.record import TrainingRecord
from hybridseg.transforms import LoadVolumed
from hybridseg.transforms.errors import VolumeError

from ...conftest import write_volume

NAMES = {"1": "anterior", "2": "posterior"}


def noise(seed: int) -> NDArray[np.float32]:
    """Return a small volume."""
    return np.random.default_rng(seed).normal(size=(4, 4, 4)).astype(np.float32)


def write_config(folder: Path, **content: Any) -> None:
    """Write the config of a bundle."""
    path = folder / "bundle" / "configs" / "train.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"label_names": NAMES, **content}))


def train(folder: Path, names: str, *, resumed: int = 0) -> None:
    """Train an epoch of a bundle on cases, or resume after an epoch."""
    cases = [{"case": name, "image": str(folder / f"{name}.nii.gz")} for name in names]
    trainer, run = Engine(lambda _, __: None), folder / "run"
    run.mkdir(exist_ok=True)
    state: Any = trainer.state
    state.device = torch.device("cpu")
    best = BestModel(torch.nn.Linear(1, 1), run / "model.pt")
    datasets = {"training": PreparedDataset(cases, Compose([LoadVolumed(["image"])]))}
    record = TrainingRecord(run, folder / "bundle", precision="fp32", seed=7, best=best, datasets=datasets)
    record.attach(trainer)
    trainer.load_state_dict({"epoch": resumed, "max_epochs": resumed + 1, "epoch_length": 1})
    trainer.run([0], max_epochs=resumed + 1)
    (run / f"checkpoint_epoch={resumed + 1}.pt").touch()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle, four cases, and a run that trained an epoch on three of them."""
    write_config(tmp_path)
    for index, name in enumerate("abcd"):
        write_volume(tmp_path / f"{name}.nii.gz", noise(index))
    train(tmp_path, "abc")
    return tmp_path


def test_nothing_changed_says_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(folder, "abc", resumed=1)
    assert not caplog.records


def test_changed_cases_and_configs_are_named_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_volume(folder / "b.nii.gz", noise(9))
    write_config(folder, learning_rate=1)
    with caplog.at_level(logging.WARNING):
        train(folder, "bcd", resumed=1)
    found = "training cases: removed a, changed b, added d; config train.json"
    assert caplog.messages == [f"{folder / 'run'}: changed since the training was started: {found}"]
    caplog.clear()
    train(folder, "bcd", resumed=2)
    assert not caplog.records


@pytest.mark.parametrize(
    "labels", [{"1": "anterior"}, {"1": "anterior", "3": "posterior"}, {"1": "posterior", "2": "anterior"}]
)
def test_other_labels_are_an_error_and_nothing_is_written(folder: Path, labels: dict[str, str]) -> None:
    write_config(folder, label_names=labels)
    before = (folder / "run" / "run.json").read_bytes()
    with pytest.raises(VolumeError, match=r"run.json: trained with labels .*: must be used with the labels"):
        train(folder, "abc", resumed=1)
    assert (folder / "run" / "run.json").read_bytes() == before


def test_a_label_may_get_a_new_name(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_config(folder, label_names={**NAMES, "2": "tail"})
    train(folder, "abc", resumed=1)
    assert [message.rpartition(": ")[2] for message in caplog.messages] == ["config train.json"]


def test_labels_of_settings_count(folder: Path) -> None:
    config = folder / "bundle" / "configs" / "train.json"
    given = "{'1': 'anterior', '2': 'posterior'}"
    assert read_labels([config], {"label_names": given}) == read_labels([config], {}) == {"label_names": NAMES}
    assert read_labels([config], {"label_names": "{'4': 'a'}"}) == {"label_names": {"4": "a"}}


def test_settings_that_say_where_and_how_long_may_change() -> None:
    before = {"overrides": {"learning_rate": "0.1", "max_epochs": "5", "dataset_dir": "a"}, "configs_sha256": {}}
    now = {"overrides": {"max_epochs": "9", "dataset_dir": "b", "resume": "True"}, "configs_sha256": {}}
    assert changes(before, now, {}, {}) == ["settings learning_rate"]


def test_records_without_cases_are_compared_as_a_whole() -> None:
    now = {"overrides": {}, "configs_sha256": {}, "data": {"training": {"cases": 1, "sha256": "new"}}}
    before = {**now, "data": {"training": {"cases": 1, "sha256": "old"}}}
    cases = {"training": {"a": "new"}}
    assert (changes(before, now, {}, cases), changes({}, now, {}, cases)) == (["training cases"], [])
