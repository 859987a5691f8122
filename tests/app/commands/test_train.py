"""Wrong options, data and run folders are found before a training starts; then MONAI runs it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hybridseg.app.commands import train
from hybridseg.bundles import bundle_path
from hybridseg.transforms.phantoms import write_phantoms

from ..conftest import hybridseg

BUNDLE = "phantom_ct_segmentation"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A dataset of four cases whose files are empty."""
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for case in range(4):
            (tmp_path / "data" / folder / f"case_{case}.nii.gz").touch()
    return tmp_path / "data"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Records the commands started, each of which only writes weights."""
    commands: list[list[str]] = []

    def run(command: Sequence[str], log: Path, *, show_traceback: bool = False) -> None:
        commands.append(list(command))
        (log.parent / "model.pt").touch()

    monkeypatch.setattr(train, "run_child", run)
    return commands


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException, *files: str) -> None:
    """Make the training write files into its folder and fail."""

    def run(command: Sequence[str], log: Path, **_: Any) -> None:
        for name in files:
            (log.parent / name).touch()
        raise error

    monkeypatch.setattr(train, "run_child", run)


def test_command_and_weights_are_printed(started: Any, dataset: Path, tmp_path: Path) -> None:
    settings = ["--set", "patch_size=[16, 16, 16]", "--set", "validate#inferer::overlap=0.25"]
    result = hybridseg("train", BUNDLE, dataset, "-o", tmp_path / "run", "--epochs", "7", *settings)
    assert result.code == 0
    (command,) = started
    options = dict(zip(command[4::2], command[5::2], strict=True))
    assert options.pop("--config_file").endswith("phantom_ct_segmentation/configs/train.json")
    assert options == {
        "--dataset_dir": str(dataset),
        "--run_dir": str(tmp_path / "run"),
        "--max_epochs": "7",
        "--patch_size": "[16, 16, 16]",
        "--validate::inferer::overlap": "0.25",
    }
    assert "cases    3 for training, 1 for validation" in result.out
    assert "--max_epochs 7" in result.out
    assert f"weights  {tmp_path / 'run' / 'model.pt'}" in result.out
    assert "set for this training only: patch_size: for prediction, change configs/inference.json" in result.err


def test_seed_and_fold_0_are_passed_on(started: Any, dataset: Path, tmp_path: Path) -> None:
    result = hybridseg("train", BUNDLE, dataset, "-o", tmp_path / "run", "--seed", "0", "--fold", "0")
    assert result.code == 0, result.err
    options = dict(zip(started[0][4::2], started[0][5::2], strict=True))
    assert (options["--seed"], options["--fold"]) == ("0", "0")


def test_precision_is_passed_on(started: Any, dataset: Path, tmp_path: Path) -> None:
    result = hybridseg("train", BUNDLE, dataset, "-o", tmp_path / "run", "--precision", "auto", "--device", "auto")
    assert result.code == 0, result.err
    options = dict(zip(started[0][4::2], started[0][5::2], strict=True))
    assert options["--precision"] == "auto"
    assert "--device" not in options


def test_several_processes_run_under_torchrun(started: Any, dataset: Path, tmp_path: Path) -> None:
    assert hybridseg("train", BUNDLE, dataset, "-o", tmp_path / "run", "--processes", "2").code == 0
    assert started[0][1:4] == ["-m", "torch.distributed.run", "--nproc_per_node=2"]
    assert "multi_gpu_train.json" in started[0][started[0].index("--config_file") + 1]


@pytest.mark.parametrize(("tracker", "name"), [("mlflow", "MLflow"), ("wandb", "Weights & Biases")])
def test_tracker_that_is_not_installed_starts_nothing(
    started: Any, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracker: str, name: str
) -> None:
    monkeypatch.setattr("hybridseg.app.training.progress.trackers.find_spec", lambda package: None)
    result = hybridseg("train", BUNDLE, dataset, "-o", tmp_path / "run", f"--{tracker}", "mine")
    assert (result.code, result.out, started) == (2, "", [])
    assert f"{tracker}: mine: {name} is not installed: pip install '.[{tracker}]'" in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "max_epoch=2"], "set: 'max_epoch': must be a key of"),
        (["--set", "max_epoch=2"], "train.json; similar: max_epochs"),
        (["--set", "overlap=2"], "similar: validate::inferer::overlap"),
        (["--set", "train::trainer::zzzz=2"], "set: 'train::trainer::zzzz': must be a key of"),
        (["--set", "max_epochs"], "set: 'max_epochs': must be key=value"),
        (["--set", "precision=auto", "--set", "precision=fp32"], "set: 'precision': must be set once"),
        (["--precision", "fp16", "--device", "cpu"], "precision: 'fp16': must be auto, fp32 or bf16 on cpu"),
        (["--threads", "0"], "threads: 0: must be at least 1"),
        (["--set", "max_epochs=2", "--epochs", "2"], "set: 'max_epochs': must be set once; an option"),
        (["--fold", "1"], "fold: 1: must be 0 unless a split file has folds"),
        (["--epochs", "0"], "epochs: 0: must be at least 1"),
        (["--processes", "2", "--device", "cuda"], "device: 'cuda': must be auto or cpu for several processes"),
        (["--device", "gpu"], "device: 'gpu': must be auto, cpu, cuda or cuda:N"),
        (["--pretrained", "no.pt"], "no.pt: does not exist: must be the file of the network's weights"),
        (["--set", "split_file=no.json"], "no.json: No such file or directory: must be a readable JSON file"),
        (["--set", "batch_size=0"], "set: batch_size: 0: must be a whole number from 1"),
        (["--set", "learning_rate=nan"], 'set: learning_rate: "nan": must be a positive, finite number'),
        (["--set", "learning_rate=$-0.1"], "set: learning_rate: -0.1: must be a positive, finite number"),
        (["--set", "val_interval=0"], "set: val_interval: 0: must be a whole number from 1"),
        (["--set", "patch_size=[0,8,8]"], "set: patch_size: [0, 8, 8]: must be three whole numbers of voxels"),
        (["--set", "train::trainer::max_epochs=-1"], "set: train::trainer::max_epochs: -1: must be a whole number"),
        (["--resume"], "has no checkpoint_epoch=N.pt: there is no run to resume"),
    ],
)
def test_wrong_usage_is_one_line_and_starts_nothing(
    started: Any, dataset: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    result = hybridseg("train", BUNDLE, dataset, "-o", tmp_path / "run", *words)
    assert (result.code, result.out, started) == (2, "", [])
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "run" / "split.json").exists()


def test_invalid_value_in_the_config_starts_nothing(started: Any, dataset: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(bundle_path(BUNDLE), tmp_path / "mine")
    file = bundle / "configs" / "train.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "max_epochs": -1}))
    result = hybridseg("train", bundle, dataset, "-o", tmp_path / "run")
    assert (result.code, result.out, started) == (2, "", [])
    assert result.err == f"hybridseg train: {file}: max_epochs: -1: must be a whole number from 1\n"
    assert not (tmp_path / "run").exists()


def test_dataset_without_cases_is_an_error(started: Any, tmp_path: Path) -> None:
    result = hybridseg("train", BUNDLE, tmp_path, "-o", tmp_path / "run")
    assert (result.code, started) == (2, [])
    assert f"{tmp_path}: no labelled cases" in result.err


def test_run_is_neither_overwritten_nor_resumed_if_finished(started: Any, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint_epoch=3.pt").touch()
    for words, message in (
        ([], "already has a run: use --resume, or another folder"),
        (["--resume", "--epochs", "3"], "epochs: 3: must be more than the 3 that the run in"),
    ):
        result = hybridseg("train", BUNDLE, dataset, "-o", tmp_path, *words)
        assert (result.code, started) == (2, [])
        assert message in result.err
    assert hybridseg("train", BUNDLE, dataset, "-o", tmp_path, "--resume", "--epochs", "4").code == 0
    assert started[0][-2:] == ["--resume", "True"]


def test_failed_training_is_one_line(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, subprocess.CalledProcessError(1, [], output="RuntimeError: out of memory"))
    result = hybridseg("train", BUNDLE, dataset, "-o", tmp_path)
    log = tmp_path / "training.log"
    assert result.code == 1
    assert result.err == f"hybridseg train: training failed: RuntimeError: out of memory (full output: {log})\n"


@pytest.mark.parametrize(
    ("files", "advice"),
    [
        (["checkpoint_epoch=5.pt"], "the same command with --resume continues after epoch 5"),
        ([], "no epoch was complete, so there is no run to resume"),
    ],
)
def test_interrupted_training_says_how_to_resume(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str], advice: str
) -> None:
    fail_with(monkeypatch, KeyboardInterrupt(), *files)
    result = hybridseg("train", BUNDLE, dataset, "-o", tmp_path)
    assert (result.code, result.err) == (130, f"hybridseg train: interrupted: {advice}\n")


@pytest.mark.slow
def test_training_is_resumed(tmp_path: Path) -> None:
    dataset = write_phantoms(tmp_path / "phantoms", 4, seed=3)
    words: list[str | Path] = [BUNDLE, dataset, "-o", tmp_path / "run", "--device", "cpu", "--set", "num_workers=0"]
    for epochs, more in (("1", []), ("2", ["--resume"])):
        result = hybridseg("train", *words, "--epochs", epochs, *more)
        assert result.code == 0, result.err
        assert f"epoch    {epochs}/{epochs}" in result.err
    log = (tmp_path / "run" / "training.log").read_text()
    assert "epoch    1/1" in log
    assert "epoch    2/2" in log
