"""A training is refused before it starts when it cannot be what was meant; otherwise MONAI runs it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hybridseg.app.bundling.overrides import keys, read_settings
from hybridseg.app.commands import train
from hybridseg.transforms.phantoms import write_phantoms

from ..conftest import hybridseg

BUNDLE = "phantom_ct_segmentation"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A dataset of four cases whose files hold nothing."""
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for case in range(4):
            (tmp_path / "data" / folder / f"case_{case}.nii.gz").touch()
    return tmp_path / "data"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were started; each leaves weights, and does nothing else."""
    commands: list[list[str]] = []

    def run(command: Sequence[str], log: Path, *, show_traceback: bool = False) -> None:
        commands.append(list(command))
        (log.parent / "model.pt").touch()

    monkeypatch.setattr(train, "run_child", run)
    return commands


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException, *files: str) -> None:
    """Make the training leave files in its folder and fail."""

    def run(command: Sequence[str], log: Path, **_: Any) -> None:
        for name in files:
            (log.parent / name).touch()
        raise error

    monkeypatch.setattr(train, "run_child", run)


def test_it_runs_what_it_shows_and_says_where_the_weights_are(started: Any, dataset: Path, tmp_path: Path) -> None:
    settings = ["--set", "patch_size=[16, 16, 16]", "--set", "validate#inferer::overlap=0.25"]
    outcome = hybridseg("train", BUNDLE, dataset, "-o", tmp_path / "run", "--epochs", "7", *settings)
    assert outcome.code == 0
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
    assert "cases    3 for training, 1 for validation" in outcome.out
    assert "--max_epochs 7" in outcome.out
    assert f"weights  {tmp_path / 'run' / 'model.pt'}" in outcome.out
    assert "set for this training only: patch_size: to predict, set the same in configs/inference.json" in outcome.err


def test_seed_and_fold_0_are_given_like_any_other(started: Any, dataset: Path, tmp_path: Path) -> None:
    outcome = hybridseg("train", BUNDLE, dataset, "-o", tmp_path / "run", "--seed", "0", "--fold", "0")
    assert outcome.code == 0, outcome.err
    options = dict(zip(started[0][4::2], started[0][5::2], strict=True))
    assert (options["--seed"], options["--fold"]) == ("0", "0")


def test_several_processes_run_under_torchrun(started: Any, dataset: Path, tmp_path: Path) -> None:
    assert hybridseg("train", BUNDLE, dataset, "-o", tmp_path / "run", "--processes", "2").code == 0
    assert started[0][1:4] == ["-m", "torch.distributed.run", "--nproc_per_node=2"]
    assert "multi_gpu_train.json" in started[0][started[0].index("--config_file") + 1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "max_epoch=2"], "set: 'max_epoch': must be a key of"),
        (["--set", "max_epoch=2"], "train.json; there is max_epochs"),
        (["--set", "overlap=2"], "there is validate::inferer::overlap"),
        (["--set", "train::trainer::zzzz=2"], "set: 'train::trainer::zzzz': must be a key of"),
        (["--set", "max_epochs"], "set: 'max_epochs': must be key=value"),
        (["--set", "amp=True", "--set", "amp=False"], "set: 'amp': must be set once"),
        (["--set", "max_epochs=2", "--epochs", "2"], "set: 'max_epochs': must not be set twice"),
        (["--fold", "1"], "fold: 1: must be 0 unless a split file has folds"),
        (["--epochs", "0"], "epochs: 0: must be at least 1"),
        (["--processes", "2", "--device", "cuda"], "device: 'cuda': must be auto or cpu for several processes"),
        (["--device", "gpu"], "device: 'gpu': must be auto, cpu, cuda or cuda:N"),
        (["--pretrained", "no.pt"], "no.pt: does not exist: must be the file of the network's weights"),
        (["--set", "split_file=no.json"], "no.json: No such file or directory: must be a readable JSON file"),
        (["--resume"], "has no checkpoint_epoch=N.pt: there is nothing to resume"),
    ],
)
def test_wrong_usage_is_one_line_and_starts_nothing(
    started: Any, dataset: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    outcome = hybridseg("train", BUNDLE, dataset, "-o", tmp_path / "run", *words)
    assert (outcome.code, outcome.out, started) == (2, "", [])
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "run" / "split.json").exists()


def test_a_dataset_without_cases_is_refused(started: Any, tmp_path: Path) -> None:
    outcome = hybridseg("train", BUNDLE, tmp_path, "-o", tmp_path / "run")
    assert (outcome.code, started) == (2, [])
    assert f"{tmp_path}: no labelled cases" in outcome.err


def test_a_run_is_not_overwritten_and_not_resumed_when_finished(started: Any, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint_epoch=3.pt").touch()
    for words, message in (
        ([], "has a run already: go on with it by --resume, or name another"),
        (["--resume", "--epochs", "3"], "epochs: 3: must be more than the 3 that the run in"),
    ):
        outcome = hybridseg("train", BUNDLE, dataset, "-o", tmp_path, *words)
        assert (outcome.code, started) == (2, [])
        assert message in outcome.err
    assert hybridseg("train", BUNDLE, dataset, "-o", tmp_path, "--resume", "--epochs", "4").code == 0
    assert started[0][-2:] == ["--resume", "True"]


def test_a_training_that_fails_is_one_line(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, subprocess.CalledProcessError(1, [], output="RuntimeError: out of memory"))
    outcome = hybridseg("train", BUNDLE, dataset, "-o", tmp_path)
    log = tmp_path / "training.log"
    assert outcome.code == 1
    assert (
        outcome.err
        == f"hybridseg train: training failed: RuntimeError: out of memory ({log} has all that it printed)\n"
    )


@pytest.mark.parametrize(
    ("files", "how"),
    [
        (["checkpoint_epoch=5.pt"], "the same command with --resume goes on after epoch 5"),
        ([], "no epoch was finished, and there is nothing to resume"),
    ],
)
def test_an_interrupted_training_says_how_to_go_on(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str], how: str
) -> None:
    fail_with(monkeypatch, KeyboardInterrupt(), *files)
    outcome = hybridseg("train", BUNDLE, dataset, "-o", tmp_path)
    assert (outcome.code, outcome.err) == (130, f"hybridseg train: interrupted: {how}\n")


def test_the_keys_of_a_config_are_those_that_monai_finds() -> None:
    config = {"a": {"b": [1, {"c": 2}]}, "d": None}
    assert list(keys(config)) == ["a", "a::b", "a::b::0", "a::b::1", "a::b::1::c", "d"]


def test_a_value_may_hold_an_equals_sign() -> None:
    assert read_settings(["split=$dict(a=1)"]) == {"split": "$dict(a=1)"}


@pytest.mark.slow
def test_it_trains_and_goes_on(tmp_path: Path) -> None:
    dataset = write_phantoms(tmp_path / "phantoms", 4, seed=3)
    words: list[str | Path] = [BUNDLE, dataset, "-o", tmp_path / "run", "--device", "cpu", "--set", "num_workers=0"]
    for epochs, more in (("1", []), ("2", ["--resume"])):
        outcome = hybridseg("train", *words, "--epochs", epochs, *more)
        assert outcome.code == 0, outcome.err
        assert f"epoch    {epochs}/{epochs}" in outcome.err
    log = (tmp_path / "run" / "training.log").read_text()
    assert "epoch    1/1" in log
    assert "epoch    2/2" in log
