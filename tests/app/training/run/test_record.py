"""The record of a training has what is needed to repeat it, and how far it came."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from monai.transforms import Compose

from hybridseg.app.training.best_model import BestModel
from hybridseg.app.training.prepared import PreparedDataset
from hybridseg.app.training.run.changes import cases_digest
from hybridseg.app.training.run.record import TrainingRecord, read_overrides
from hybridseg.bundles import bundle_path
from hybridseg.transforms import LoadVolumed
from hybridseg.transforms.errors import VolumeError

from ...conftest import write_volume

BUNDLE = bundle_path("phantom_ct_segmentation")


@pytest.fixture
def cases(tmp_path: Path) -> PreparedDataset:
    volume = write_volume(tmp_path / "volume.nii.gz")
    return PreparedDataset([{"case": "a", "image": str(volume)}], Compose([LoadVolumed(["image"])]))


def train(
    run_dir: Path, cases: PreparedDataset, epochs: int, *, resumed: int = 0, fail: bool = False, score: float = 0.5
) -> Any:
    """Train some epochs, or fail in the last one, and return the record."""

    def step(engine: Engine, batch: int) -> None:
        if fail and engine.state.epoch == epochs:
            raise RuntimeError("power cut")

    trainer, best = Engine(step), BestModel(torch.nn.Linear(1, 1), run_dir / "model.pt")
    state: Any = trainer.state
    state.device = torch.device("cpu")
    record = TrainingRecord(run_dir, BUNDLE, precision="fp32", seed=7, best=best, datasets={"training": cases})
    record.attach(trainer)
    trainer.load_state_dict({"epoch": resumed, "max_epochs": epochs, "epoch_length": 1})
    best.score, best.epoch = score, 1
    if fail:
        with pytest.raises(RuntimeError, match="power cut"):
            trainer.run([0], max_epochs=epochs)
    else:
        trainer.run([0], max_epochs=epochs)
    return json.loads((run_dir / "run.json").read_text())["runs"]


def test_record_has_what_is_needed_to_repeat_a_training(tmp_path: Path, cases: PreparedDataset) -> None:
    (start,) = train(tmp_path, cases, 2)
    assert start["command"] == sys.orig_argv
    assert start["bundle_version"] == json.loads((BUNDLE / "configs" / "metadata.json").read_text())["version"]
    assert start["configs_sha256"].keys() == {"train.json"}
    assert {"python", "torch", "monai", "hybridseg"} <= start["versions"].keys()
    assert start["precision"] == {"chosen": "fp32", "used": "fp32", "reason": "chosen"}
    assert start["data"] == {"training": {"cases": 1, "sha256": cases_digest(cases.case_digests())}}
    assert (start["seed"], start["threads"], start["processes"]) == (7, torch.get_num_threads(), 1)
    assert (start["epochs"], start["max_epochs"], start["best_epoch"], start["best_score"]) == (2, 2, 1, 0.5)
    assert start["started"] <= start["finished"]


def test_resumed_training_adds_an_entry(tmp_path: Path, cases: PreparedDataset) -> None:
    train(tmp_path, cases, 2, fail=True)
    killed, resumed = train(tmp_path, cases, 3, resumed=1)
    assert (killed["epochs"], killed["finished"]) == (1, None)
    assert (resumed["resumed_from_epoch"], resumed["epochs"]) == (1, 3)
    assert resumed["finished"] is not None


def test_training_without_labels_to_validate_has_no_best_score(tmp_path: Path, cases: PreparedDataset) -> None:
    (start,) = train(tmp_path, cases, 1, score=-math.inf)
    assert (start["best_epoch"], start["best_score"]) == (1, None)


def test_record_of_something_else_is_not_overwritten(tmp_path: Path, cases: PreparedDataset) -> None:
    (tmp_path / "run.json").write_text('{"runs": {}, "cases": []}')
    with pytest.raises(VolumeError, match=r"run.json: not the record of a training: must be written by a training"):
        train(tmp_path, cases, 1)


def test_data_digest_follows_names_and_contents(tmp_path: Path, cases: PreparedDataset) -> None:
    image = cases.data[0]["image"]
    copy = tmp_path / "copy.nii.gz"
    copy.write_bytes(Path(image).read_bytes())
    transform = Compose([LoadVolumed(["image"])])
    assert PreparedDataset([{"case": "a", "image": str(copy)}], transform).case_digests() == cases.case_digests()
    stored = PreparedDataset([{"case": "a", "image": str(copy)}], transform, tmp_path / "store")
    assert stored.case_digests() == cases.case_digests()
    assert PreparedDataset([{"case": "b", "image": image}], transform).case_digests() != cases.case_digests()


def test_overrides_are_those_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["run", "--config-file", "['a/train.json', 'b.json']", "--seed", "3", "--fold=1", "--max-epochs=2"]
    monkeypatch.setattr(sys, "argv", ["monai.bundle", *words])
    assert read_overrides() == {"seed": "3", "fold": "1", "max_epochs": "2"}
    monkeypatch.setattr(sys, "argv", ["notebook", "--port=3"])
    assert read_overrides() == {}
