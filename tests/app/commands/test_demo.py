"""The demo trains, segments, evaluates and draws, and replaces the results of an earlier one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from hybridseg.app.commands import demo
from hybridseg.networks import create_model
from hybridseg.transforms.phantoms import ORGANS

from ..conftest import hybridseg


def train_nothing(command: Sequence[str], log: Path, *, show_traceback: bool = False) -> None:
    """Write random weights where a training writes its best."""
    run_dir = Path(command[command.index("--run_dir") + 1])
    run_dir.mkdir(parents=True)
    network = create_model("tiny", in_channels=1, out_channels=1 + len(ORGANS))
    torch.save(network.state_dict(), run_dir / "model.pt")


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo of few phantoms that does not train."""
    monkeypatch.setattr(demo, "TRAINING_CASES", 1)
    monkeypatch.setattr(demo, "UNSEEN_CASES", 1)
    monkeypatch.setattr(demo, "run_child", train_nothing)


@pytest.mark.usefixtures("untrained")
def test_demo_evaluates_draws_and_prints_where(tmp_path: Path) -> None:
    output = tmp_path / "demo"
    result = hybridseg("demo", "-o", output)
    assert (result.code, result.err) == (0, "")
    for name in (*ORGANS.values(), "all labels", "python -m monai.bundle run", str(output / "demo.png")):
        assert name in result.out
    assert (output / "demo.png").stat().st_size > 50_000
    assert [path.name for path in (output / "predictions").iterdir()] == ["phantom_001.nii.gz"]
    assert json.loads((output / "evaluation" / "summary.json").read_text())["cases"] == 1


@pytest.mark.usefixtures("untrained")
def test_earlier_demo_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint_epoch=1.pt").touch()
    assert hybridseg("demo", "-o", tmp_path, "--seed", "1").code == 0
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["model.pt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert json.loads((tmp_path / "demo.json").read_text())["seed"] == 1


def test_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    result = hybridseg("demo", "-o", tmp_path)
    assert (result.code, result.out) == (2, "")
    assert "must be empty, or the folder of an earlier demo" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(("option", "least"), [("epochs", 1), ("seed", 0)])
def test_too_small_number_is_wrong_usage(tmp_path: Path, option: str, least: int) -> None:
    result = hybridseg("demo", "-o", tmp_path / "demo", f"--{option}", str(least - 1))
    assert result.code == 2
    assert f"{option}: {least - 1}: must be at least {least}" in result.err
    assert not (tmp_path / "demo").exists()


@pytest.mark.usefixtures("untrained")
def test_failed_training_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: Sequence[str], log: Path, *, show_traceback: bool = False) -> None:
        raise subprocess.CalledProcessError(1, list(command), output="ValueError: no cases")

    monkeypatch.setattr(demo, "run_child", fail)
    result = hybridseg("demo", "-o", tmp_path)
    assert result.code == 1
    log = tmp_path / "training.log"
    assert result.err == f"hybridseg demo: training failed: ValueError: no cases (full output: {log})\n"


@pytest.mark.slow
def test_demo_of_one_epoch_trains(tmp_path: Path) -> None:
    result = hybridseg("demo", "-o", tmp_path, "--epochs", "1")
    assert result.code == 0
    assert "epoch    1/1" in result.err
    assert (tmp_path / "run" / "model.pt").is_file()
    assert len([*(tmp_path / "predictions").iterdir()]) == demo.UNSEEN_CASES
