"""A training's metrics and pictures reach its folder, TensorBoard and MLflow."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hybridseg.app.reporting.curves import read_curves
from hybridseg.app.training.progress.curves import Curves


def train(run_dir: Path, *, epochs: int = 2, labels: bool = True, **trackers: Any) -> None:
    """Train a few epochs, with a validation in each, that show curves and pictures."""
    run_dir.mkdir(exist_ok=True)
    mask = torch.zeros(2, 8, 8, 4)
    mask[:, 2:6, 2:6] = 1
    trainer = Engine(lambda engine, batch: None)
    validator: Any = Engine(lambda engine, batch: [{"image": mask[:1], "label": mask, "pred": mask}])
    validator.state.key_metric_name = "val_mean_dice"

    def validate() -> None:
        trainer.state.metrics = {"loss": 1 / trainer.state.epoch, "learning_rate": 0.1}
        validator.run([0])

    def score() -> None:
        validator.state.metrics = {"val_mean_dice": 0.5, "dice/liver": 0.25} if labels else {"val_mean_dice": 0.0}
        validator.state.metric_details = {"val_mean_dice": torch.tensor([[0.5 if labels else math.nan]])}

    trainer.add_event_handler(Events.EPOCH_COMPLETED, validate)
    validator.add_event_handler(Events.EPOCH_COMPLETED, score)
    Curves(run_dir, validator, ["liver"], **trackers).attach(trainer)
    trainer.run([0], max_epochs=epochs)


def test_tensorboard_has_scalars_and_pictures(tmp_path: Path) -> None:
    train(tmp_path / "run")
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    assert sorted(events.Tags()["scalars"]) == [
        "training/learning_rate",
        "training/loss",
        "validation/dice/liver",
        "validation/val_mean_dice",
    ]
    assert [(event.step, event.value) for event in events.Scalars("training/loss")] == [(1, 1.0), (2, 0.5)]
    assert [event.step for event in events.Scalars("validation/dice/liver")] == [1, 2]
    assert sorted(events.Tags()["images"]) == ["validation/overlays", "validation/progress"]
    assert read_curves(tmp_path / "run")[0].name == "training/loss"


def test_files_are_written_without_any_tracker(tmp_path: Path) -> None:
    train(tmp_path / "run", tensorboard=False)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "overlays.png",
        "progress.csv",
        "progress.png",
    ]


def test_mean_without_labels_is_not_recorded_as_zero(tmp_path: Path) -> None:
    train(tmp_path / "run", tensorboard=False, labels=False)
    assert (tmp_path / "run" / "progress.csv").read_text().splitlines()[0] == "epoch,loss,learning_rate"


def test_mlflow_has_metrics_and_pictures(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    train(tmp_path / "run", mlflow=str(tmp_path / "store"))
    (run,) = mlflow.search_runs(output_format="list", search_all_experiments=True)
    assert run.info.run_name == "run"
    assert run.data.metrics["validation dice/liver"] == 0.25
    client = mlflow.MlflowClient()
    assert [point.step for point in client.get_metric_history(run.info.run_id, "training loss")] == [1, 2]
    assert sorted(file.path for file in client.list_artifacts(run.info.run_id)) == ["overlays.png", "progress.png"]


def test_wandb_runs_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    train(tmp_path / "run", wandb="project")
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))


@pytest.mark.parametrize("tracker", ["mlflow", "wandb"])
def test_tracker_that_is_not_installed_is_an_error(tmp_path: Path, tracker: str, monkeypatch) -> None:
    monkeypatch.setattr("hybridseg.app.training.progress.trackers.find_spec", lambda name: None)
    trackers: dict[str, Any] = {tracker: "there"}
    with pytest.raises(ValueError, match=rf"{tracker}: there: .* is not installed: pip install '.\[{tracker}\]'"):
        train(tmp_path / "run", **trackers)
