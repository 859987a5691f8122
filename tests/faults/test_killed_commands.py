"""What a killed command leaves: no process, a log that says how far it came, and the earlier or the new bundle."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from hybridseg.app.bundling.writer import write_bundle
from hybridseg.app.training.run.run_folder import latest_epoch
from hybridseg.transforms.phantoms import write_phantoms

from ..app.conftest import FAST_PLAN, hybridseg
from ..kills import kill_often

SETTINGS = {
    "modality": "MRI",
    "channels": 1,
    "label_names": {1: "organ"},
    "channel_names": ["MRI"],
    "patch_size": [32, 32, 32],
    "data_source": "organs",
}
WAITS_AT_THE_REPLACEMENT = """
import sys
from hybridseg.app.cli import main
from hybridseg.transforms.io import atomic

exchange = atomic.exchange

def wait_and_exchange(first, second):
    if sys.argv[1] == "after":
        exchange(first, second)
    print("held", flush=True)
    sys.stdin.read()

atomic.exchange = wait_and_exchange
sys.exit(main(sys.argv[2:]))
"""
"""A program that runs `hybridseg`, and waits before or after it replaces a folder."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("phantoms"), 4, seed=3)


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_train_leaves_no_process_and_a_log(processes: int, dataset: Path, tmp_path: Path) -> None:
    settings = ["num_workers=1", "val_interval=1", "patch_size=[32,32,32]"]
    words = ["train", "phantom_ct_segmentation", dataset, "--run-dir", tmp_path, "--epochs", "200", "--device", "cpu"]
    words += ["--processes", processes, *(word for setting in settings for word in ("--set", setting))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "hybridseg.app", *map(str, words)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as command:
        parent = psutil.Process(command.pid)
        while command.poll() is None and latest_epoch(tmp_path) < 2:
            psutil.wait_procs([parent], timeout=0.1)
        children = parent.children(recursive=True)
        assert len(children) >= processes
        command.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    log = (tmp_path / "training.log").read_text(encoding="utf-8")
    assert "\r" not in log
    assert "epoch    1/200  loss " in log


def write(folder: Path, preset: str) -> None:
    """Write a bundle whose network is of a preset."""
    write_bundle(folder, {**SETTINGS, "preset": preset}, {"folds": [[preset]]}, {"docs/README.md": "organs"})


def write_often(folder: Path) -> None:
    """Replace a bundle again and again."""
    for preset in itertools.cycle(("tiny", "small")):
        write(folder, preset)


def configs(folder: Path) -> dict[str, str]:
    """Return the configs of a bundle."""
    return {path.name: path.read_text() for path in (folder / "configs").iterdir()}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_bundle_is_replaced_as_a_whole_at_any_moment(tmp_path: Path) -> None:
    folder, expected = tmp_path / "organs", []
    for preset in ("small", "tiny"):
        write(folder, preset)
        expected.append(configs(folder))
    assert expected[0].keys() == expected[1].keys()
    for _ in kill_often(write_often, folder, times=10, seconds=0.3):
        assert configs(folder) in expected
    write(folder, "tiny")
    assert configs(folder) == expected[1]
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_killed_plan_leaves_the_earlier_or_the_new_bundle(dataset: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "organs_ct_segmentation"
    words = ["plan", str(dataset), "-o", str(bundle), *FAST_PLAN, "--jobs", "1", "--folds"]
    assert hybridseg(*words, "4").code == 0
    (bundle / "configs" / "notes.txt").write_text("kept")
    for moment, left in (("before", 4), ("after", 2)):
        command = [sys.executable, "-c", WAITS_AT_THE_REPLACEMENT, moment, *words, "2"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert "held\n" in iter(process.stdout.readline, "")
            process.kill()
        assert count_folds(bundle) == left
        assert hybridseg("info", "--path", bundle).code == 0
    assert hybridseg(*words, "3").code == 0
    assert count_folds(bundle) == 3
    assert (bundle / "configs" / "notes.txt").read_text() == "kept"
    assert not [path.name for path in bundle.iterdir() if path.name.startswith(".")]


def count_folds(bundle: Path) -> int:
    """Return the number of folds of a bundle."""
    return len(json.loads((bundle / "configs" / "split.json").read_text())["folds"])
