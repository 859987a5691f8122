"""What a killed `hybridseg train` leaves behind: no process, and a log that says how far it came."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from hybridseg.app.training.run_folder import latest_epoch
from hybridseg.transforms.phantoms import write_phantoms


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
