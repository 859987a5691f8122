"""A training under torchrun goes on when one of two agents is killed, as when a machine fails."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import psutil
import pytest

from hybridseg.app.training.run.run_folder import latest_epoch
from hybridseg.bundles import bundle_path
from hybridseg.transforms.phantoms import write_phantoms

CASES, EPOCHS = 5, 16
RECORD = (
    "$@train::trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda trainer: "
    "open(Path(@run_dir) / 'seen.txt', 'a').write("
    "f'{trainer.state.epoch} {dist.get_world_size()} {os.getpid()} {trainer.state.batch[\"case\"][0]}\\n'))"
)
"""An expression of a config: each process appends every sample that it trains on, in one write, to a file."""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def agent(config: Path, dataset: Path, run_dir: Path, port: int, *, host: bool) -> subprocess.Popen[bytes]:
    """Start a torchrun that trains with one process, alone or together with another torchrun."""
    bundle = bundle_path("phantom_ct_segmentation") / "configs"
    configs = [str(bundle / "train.json"), str(bundle / "multi_gpu_train.json"), str(config)]
    options = {
        "config_file": json.dumps(configs),
        "dataset_dir": dataset,
        "run_dir": run_dir,
        "device": "cpu",
        "max_epochs": EPOCHS,
        "val_interval": EPOCHS,
        "num_workers": 0,
        "patches": 1,
        "patch_size": [32, 32, 32],
        "resume": "auto",
    }
    rendezvous = f"is_host={int(host)},last_call_timeout=20,keep_alive_interval=1,keep_alive_max_attempt=3"
    launcher = ["-m", "torch.distributed.run", "--nnodes=1:2", "--nproc_per_node=1", "--max-restarts=3"]
    launcher += ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=elastic"]
    launcher += ["--monitor-interval=0.1", f"--rdzv-conf={rendezvous}"]
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    with (run_dir / f"{'host' if host else 'other'}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, *launcher, "-m", "monai.bundle", "run", *words],
            env={**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
        )


def seen(run_dir: Path) -> list[tuple[int, int, int, str]]:
    """Return epoch, number of processes, process and case of each sample."""
    path = run_dir / "seen.txt"
    rows = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [(int(epoch), int(world), int(process), case) for epoch, world, process, case in rows]


@pytest.mark.slow
def test_training_goes_on_when_one_of_two_agents_is_killed(tmp_path: Path) -> None:
    dataset = write_phantoms(tmp_path / "data", CASES, seed=3)
    base = json.loads((bundle_path("phantom_ct_segmentation") / "configs" / "multi_gpu_train.json").read_text())
    config = tmp_path / "record.json"
    config.write_text(
        json.dumps(
            {
                "imports": [*base["imports"], "$from ignite.engine import Events"],
                "run": [*base["run"][:-1], RECORD, base["run"][-1]],
            }
        )
    )
    run_dir, port = tmp_path / "run", free_port()
    run_dir.mkdir()
    host = agent(config, dataset, run_dir, port, host=True)
    other = agent(config, dataset, run_dir, port, host=False)
    workers: list[psutil.Process] = []
    try:
        while host.poll() is None and other.poll() is None and latest_epoch(run_dir) < 2:
            psutil.wait_procs([psutil.Process(host.pid)], timeout=0.02)
        workers = psutil.Process(other.pid).children(recursive=True)
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert host.wait(timeout=300) == 0, (run_dir / "host.log").read_text()[-3000:]
        assert psutil.wait_procs(workers, timeout=30)[1] == []
    finally:
        for worker in psutil.wait_procs(workers, timeout=0)[1]:
            worker.kill()
        for process in (host, other):
            process.kill()
            process.wait()
    samples = seen(run_dir)
    alone = sorted({epoch for epoch, world, _, _ in samples if world == 1})
    together = sorted({epoch for epoch, world, _, _ in samples if world == 2})
    assert together[0] == 1
    assert 2 <= alone[0] - 1 < EPOCHS
    assert alone == list(range(alone[0], EPOCHS + 1))
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for epoch, world, _, case in samples:
        if world == (1 if epoch >= alone[0] else 2):  # the epoch that was interrupted was repeated
            counts[epoch][case] += 1
    assert sorted(counts) == list(range(1, EPOCHS + 1))
    assert {tuple(sorted(count.values())) for count in counts.values()} == {(1,) * (CASES - 1)}
    assert latest_epoch(run_dir) == EPOCHS
    assert (run_dir / "model.pt").is_file()
