"""A process knows its rank and its device, and the first one gathers the values of all."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from hybridseg.app.runtime import distributed

GATHER = "from hybridseg.app.runtime.distributed import gather, rank; import json; found = gather(rank() * 10)\n"
GATHER += "if rank() == 0: print(json.dumps(found))\nelse: assert found == []"


def test_single_process_is_the_first_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert (distributed.rank(), distributed.world_size(), distributed.gather("value")) == (0, 1, ["value"])
    assert distributed.own_device("auto") == "auto"


def test_rank_without_other_processes_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("RANK", "1")
    assert (distributed.rank(), distributed.world_size()) == (0, 1)


@pytest.mark.parametrize(
    ("size", "rank", "message"),
    [
        ("x", "0", "WORLD_SIZE: 'x': must be a number, at least 1, as torchrun sets it; or unset"),
        ("0", "0", "WORLD_SIZE: '0': must be a number, at least 1, as torchrun sets it; or unset"),
        ("2", "2", "RANK: '2': must be a number, 0 to 1, as torchrun sets it; or unset"),
        ("2", "-1", "RANK: '-1': must be a number, 0 to 1, as torchrun sets it; or unset"),
    ],
)
def test_impossible_ranks_are_errors(monkeypatch: pytest.MonkeyPatch, size: str, rank: str, message: str) -> None:
    monkeypatch.setenv("WORLD_SIZE", size)
    monkeypatch.setenv("RANK", rank)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        distributed.rank()


def test_each_process_gets_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(torch, "cuda", SimpleNamespace(is_available=lambda: True, device_count=lambda: 2))
    assert distributed.own_device("auto") == "cuda:0"
    assert distributed.own_device("cpu") == "cpu"


def test_first_process_gathers_the_values_of_all(tmp_path) -> None:
    (tmp_path / "job.py").write_text(GATHER)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run([*launcher, tmp_path / "job.py"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [0, 10]
