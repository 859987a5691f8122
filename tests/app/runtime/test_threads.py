"""The number of threads is set for a command and the processes that it starts, and restored."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hybridseg.app.runtime import threads
from hybridseg.app.runtime.threads import OPENMP, available_processors, use_threads


def test_threads_are_set_here_and_in_started_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_NUM_THREADS", "1")
    before = torch.get_num_threads(), os.environ.get(OPENMP)
    with use_threads(2):
        assert torch.get_num_threads() == 2
        code = "import torch; print(torch.get_num_threads())"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "2\n"
    assert (torch.get_num_threads(), os.environ.get(OPENMP)) == before


def test_environment_decides_without_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OPENMP, "5")
    with use_threads(processes=4):
        assert os.environ[OPENMP] == "5"


def test_processes_share_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OPENMP)
    monkeypatch.setattr(threads, "available_processors", lambda: 7)
    with use_threads(processes=2):
        assert os.environ[OPENMP] == "3"
    assert OPENMP not in os.environ


def test_processes_share_also_within_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OPENMP)
    monkeypatch.setattr(threads, "available_processors", lambda: (os.cpu_count() or 1) + 7)
    with use_threads():
        command = int(os.environ[OPENMP])
        with use_threads():
            assert int(os.environ[OPENMP]) == command
        with use_threads(processes=2):
            assert int(os.environ[OPENMP]) == command // 2
        assert int(os.environ[OPENMP]) == command
    with use_threads(4), use_threads(processes=2):
        assert os.environ[OPENMP] == "4"


@pytest.mark.parametrize(
    ("text", "most"), [("100000 100000", 1), ("50000 100000", 1), ("max 100000", 10**6), ("", 10**6)]
)
def test_quota_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, most: int) -> None:
    monkeypatch.setattr(threads, "QUOTA", tmp_path / "missing")
    seen = available_processors()
    monkeypatch.setattr(threads, "QUOTA", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text(text)
    assert available_processors() == min(seen, most)


@pytest.mark.parametrize(("number", "rule"), [(0, "at least 1"), (100_000, "at most 1024")])
def test_impossible_number_is_an_error(number: int, rule: str) -> None:
    with pytest.raises(ValueError, match=f"threads: {number}: must be {rule}"), use_threads(number):
        pass
